"""A whole shop that runs, with what is outside it and a switch before each part."""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.utils import translation

from kikaku.testing.object_store import ObjectStore
from ledger.models import Order
from ledger.models.orders import OrderStatus
from ops.alerts.kinds import KINDS
from ops.testing.customer import Clerk, Customer
from ops.testing.disk import SMALLER_THAN_A_PAGE
from ops.testing.outside import HttpPart, Mailbox, Sentry, Slack
from ops.testing.processes import Processes
from ops.testing.switch import Switch
from shop.testing import build

SETTINGS = "ops.testing.fault_settings"
PROCESSES = ("stripe", "web", "worker")  # in the order of their start
SKU = "SKU-madoka"


@dataclass
class House:
    """A running shop, what is outside it, and the switches between."""

    processes: Processes
    slack: Slack
    sentry: Sentry
    mailbox: Mailbox
    switches: dict[str, Switch]
    clerk: Clerk

    def customer(self) -> Customer:
        """Return a new customer."""
        return Customer(self.processes.address)

    def buy(self) -> None:
        """Order one lamp and pay for it."""
        customer = self.customer()
        placed = customer.order(SKU)
        assert placed.status_code == 303, placed.text()
        paid = customer.pay(placed.headers["location"])
        assert paid.status_code == 303, paid.text()

    def is_all_paid(self) -> bool:
        """Return whether no order waits for its payment."""
        return not Order.objects.filter(status=OrderStatus.PENDING).exists()

    def times_told(self, kind: str) -> int:
        """Return in how many messages Slack was told of a kind of alert."""
        with translation.override("ja"):
            title = str(KINDS[kind].title)
        return sum(title in text and "解消" not in text for text in self.slack.texts())

    def restart_worker(self) -> None:
        """Start the worker anew, as a service manager does; it runs every job at once."""
        if "worker" in self.processes.running:
            self.processes.kill("worker")
        self.processes.start("worker")

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let no process of the shop write a file beyond its first bytes (Linux)."""
        ids = [number for name in ("web", "worker") for number in self.processes.ids(name)]
        limits = {number: resource.prlimit(number, resource.RLIMIT_FSIZE) for number in ids}
        for number, (_soft, hard) in limits.items():
            resource.prlimit(number, resource.RLIMIT_FSIZE, (SMALLER_THAN_A_PAGE, hard))
        try:
            yield
        finally:
            for number, limit in limits.items():
                resource.prlimit(number, resource.RLIMIT_FSIZE, limit)


@contextmanager
def running_house(
    folder: Path, database: Mapping[str, str], *, store: ObjectStore | None = None, settings: str = SETTINGS
) -> Iterator[House]:
    """Run a shop with one lamp to sell on a migrated database until the block ends.

    With `store` its files are there. A database server is behind a switch, too.
    """
    build.product(on_hand=40)
    build.content_page()
    user = User.objects.create_superuser("clerk", "clerk@example.jp", "a-long-password")
    slack, sentry, mailbox = Slack(), Sentry(), Mailbox()
    processes = Processes(folder, database, settings=settings)
    ports = {
        "stripe": processes.stripe_port,
        "slack": slack.port,
        "sentry": sentry.port,
        "mail": mailbox.port,
    }
    address = urlsplit(database["DATABASE_URL"])
    if address.port is not None:
        ports["database"] = address.port
    if store is not None:
        ports["r2"] = store.port
    switches = {name: Switch(port) for name, port in ports.items()}
    local = {name: f"127.0.0.1:{switch.port}" for name, switch in switches.items()}
    processes.environment |= {
        "STRIPE_API_BASE": f"http://{local['stripe']}",
        "SLACK_WEBHOOK_URL": f"http://{local['slack']}{Slack.PATH}",
        "ALERTS_IN_DEVELOPMENT": "1",
        "SENTRY_DSN": f"http://key@{local['sentry']}{Sentry.PATH}",
        "EMAIL_URL": f"smtp://{local['mail']}",
    }
    if "database" in switches:
        place = f"127.0.0.1:{switches['database'].port}"
        login, at, _host = address.netloc.rpartition("@")
        processes.environment["DATABASE_URL"] = address._replace(netloc=f"{login}{at}{place}").geturl()
    if store is not None:
        processes.environment |= store.variables() | {"R2_ENDPOINT_URL": f"http://{local['r2']}"}
    try:
        for name in PROCESSES:
            processes.start(name)
        yield House(processes, slack, sentry, mailbox, switches, Clerk(processes.address, user))
    finally:
        processes.close()
        parts: list[Switch | HttpPart | Mailbox] = [*switches.values(), slack, sentry, mailbox]
        for part in parts:
            part.close()
