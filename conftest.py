"""What every test uses: files and a Stripe stand-in of its own, and a test database that can be flushed."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils import timezone, translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker, Settings

from kikaku.d1.engine import temporary_engine
from kikaku.storages import storages
from kikaku.testing import flush
from kikaku.testing.database import engine, on_d1
from kikaku.testing.object_store import ObjectStore, running_object_store

if TYPE_CHECKING:
    from kikaku.sandbox import Request, Response, Sandbox


pytest.register_assert_rewrite(
    "kikaku.d1.testing", "kikaku.sandbox.testing", "ledger.testing", "shop.testing", "ops.testing"
)

# An example may take long on a busy machine, or when it is the first to load something. A change runs the
# same examples each time, so that its run fails for its own faults; the night searches for new ones.
hypothesis_settings.register_profile(
    "kikaku",
    deadline=None,
    derandomize=not os.environ.get("KIKAKU_NIGHTLY"),
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("kikaku")


def _make_flushable(sender: AppConfig, using: str, **_: Any) -> None:
    """Mark the database as a test database, and create its chart of accounts and roles again.

    The append-only triggers allow a DELETE only while `ledger_test_database` holds a row, so that Django can
    flush between transactional tests; a flush also empties the chart and the tax status, which every entry
    needs. Django sends `post_migrate` after the migrations and after each flush.
    """
    # imported here: the app registry is not ready when this module is loaded
    from auditlog.context import disable_auditlog

    if sender.label == "ops":  # the last with permissions of roles
        from django.apps import apps

        from ops.people.roles import apply_roles

        with disable_auditlog():  # a database that migrations made has no entries
            apply_roles(apps, using=using)
    if sender.label != "ledger":
        return
    from ledger.books.accounts import ensure_chart
    from ledger.sales.delivery_days import ensure_delivery_days
    from ledger.testing.company import ensure_tax_status

    with connections[using].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM ledger_test_database")
        if cursor.fetchone()[0] == 0:
            cursor.execute("INSERT INTO ledger_test_database VALUES (1)")
    with disable_auditlog():
        ensure_chart()
        ensure_tax_status()
        ensure_delivery_days()


def pytest_configure(config: pytest.Config) -> None:
    """Register `_make_flushable` before the test database is created.

    With `KIKAKU_REQUIRE=all` a missing D1 engine makes tests fail, as every other missing engine does.
    """
    if os.environ.get("KIKAKU_REQUIRE") == "all":
        os.environ.setdefault("D1_REQUIRE_ENGINE", "1")
    post_migrate.connect(_make_flushable, dispatch_uid="tests.flushable")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests that use the database, and run tests that share a fixture in one process.

    On D1 each test commits instead of running in one transaction: every statement of a transaction there
    sends all earlier writes again, so its time grows with the square of their number. Without
    `KIKAKU_NIGHTLY`, tests marked `nightly` are left out, and on PostgreSQL and D1 those marked
    `engine_independent`.
    """
    for item in items:
        if item.get_closest_marker("engine_independent") and engine() != "sqlite":
            item.add_marker(pytest.mark.nightly)
        marker = item.get_closest_marker("django_db")
        if marker or "django_db_setup" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.database)
        if marker and not marker.kwargs and on_d1():
            item.add_marker(pytest.mark.django_db(transaction=True), append=False)
        if shared := _scope_of_shared_fixtures(item):
            item.add_marker(pytest.mark.xdist_group(shared))
    yield
    if not os.environ.get("KIKAKU_NIGHTLY"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        if nightly:
            config.hook.pytest_deselected(items=nightly)
            items[:] = [item for item in items if not item.get_closest_marker("nightly")]


def _scope_of_shared_fixtures(item: pytest.Item) -> str:
    """Return the widest module or package whose fixtures a test shares with others; "" for none."""
    known = getattr(item, "_fixtureinfo", None)
    if not isinstance(item, pytest.Function) or known is None:
        return ""
    shared = [
        definitions[-1].baseid
        for definitions in known.name2fixturedefs.values()
        if definitions[-1].scope in ("module", "package")
    ]
    return min(shared, key=len, default="")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Give each process of pytest-xdist a test database of its own.

    On SQLite it is a file: in memory its threads share one cache, so concurrency would not be tested.
    On D1 it has an engine of its own, since an engine uses one processor.
    """
    known = connections["default"].settings_dict
    with ExitStack() as stack:
        if known["ENGINE"] == "kikaku.sqlite":
            known["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
        elif on_d1() and "PYTEST_XDIST_WORKER" in os.environ:
            own = stack.enter_context(temporary_engine([known["TEST"]["NAME"]]))
            known["HOST"], _, known["PORT"] = own.address.partition(":")
            known["PASSWORD"] = own.secret
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Let tests that commit leave the database as the migrations left it."""
    with django_db_blocker.unblock():
        flush.install(flush.read_baseline())


@pytest.fixture(autouse=True)
def isolated_storage(settings: Settings, tmp_path: Path) -> None:
    """Give each test media, evidence and Stripe state of its own, and static files without hashed names."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.EVIDENCE_ROOT = tmp_path / "evidence"
    settings.BACKUP_ROOT = tmp_path / "backups"
    settings.SANDBOX_STATE = tmp_path / "stripe.sqlite3"
    settings.STORAGES = {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "evidence", "base_url": None},
        },
        "backups": {
            "BACKEND": "kikaku.durable_files.WrittenOnceFileStorage",
            "OPTIONS": {"location": tmp_path / "backups", "base_url": None},
        },
    }
    settings.STATIC_ROOT = None  # nothing is collected in tests
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def object_store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Run an S3 server in R2's place."""
    with running_object_store(tmp_path_factory.mktemp("object-store")) as store:
        yield store


@pytest.fixture
def object_store(object_store_server: ObjectStore) -> ObjectStore:
    """Return the S3 server with empty buckets."""
    object_store_server.empty()
    return object_store_server


@pytest.fixture
def files_on_r2(
    object_store: ObjectStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """Store pictures, evidence and backups of this test on the S3 server."""
    for name, value in object_store.variables().items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {
        alias: storage
        for alias, storage in storages(
            object_store.endpoint,
            "https://files.example.jp",
            evidence_root=settings.EVIDENCE_ROOT,
            backup_root=settings.BACKUP_ROOT,
            link_seconds=300,
        ).items()
        if alias != "staticfiles"
    }
    return object_store


@pytest.fixture(autouse=True)
def no_active_language() -> None:
    """Let no test run in the language or time zone that an earlier one left active in this thread.

    A request leaves its language active. On a server the next request sets its own; a test that makes none
    would depend on the order of the tests.
    """
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture(autouse=True)
def no_courier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread store what a test logs as an alert: it would write beside the test's transaction."""
    from ops.alerts.courier import courier

    monkeypatch.setattr(courier, "is_on", False)


@pytest.fixture(autouse=True)
def reset_rate_limits() -> None:
    """Clear the request counts that earlier tests left in memory; their rows go with the test's database."""
    from ops.web import limits

    limits.clear_memory()


@pytest.fixture
def sandbox(isolated_storage: None) -> Iterator["Sandbox"]:
    """Return the Stripe stand-in that our client talks to in this test, with nothing in it yet.

    Every request and answer is validated against Stripe's OpenAPI document where it is at hand
    (`kikaku/sandbox/tests` and `ledger/tests/test_stripe_client.py` require it).
    """
    from kikaku.sandbox import adapter
    from kikaku.sandbox.openapi import SPEC_PATH, ContractViolation, contract

    sandbox = adapter.sandbox()
    violations: list[str] = []

    def validate(request: "Request", response: "Response") -> None:
        try:
            contract().observe(request, response)
        except ContractViolation as violation:  # our code may catch exceptions: reported at the end
            violations.append(str(violation))

    if SPEC_PATH.exists():
        sandbox.observer = validate
    yield sandbox
    assert not violations, "\n".join(violations)
