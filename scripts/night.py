#!/usr/bin/env python3
"""Play a night in which much fails, on running processes: `make night`, about five minutes.

Web, worker and the Stripe stand-in run on a new SQLite database; Slack, Sentry and the mail server are real
sockets. The worker is killed, Stripe and mail are down, the close fails and recovers, the disk is full. It
prints what happens and what holds. Exit status: 0 all of it held, 1 something did not.
"""

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def set_up(folder: Path) -> dict[str, str]:
    """Set up Django on a new database; return the variables that name it."""
    database = {"DATABASE_URL": f"sqlite:///{folder / 'kikaku.sqlite3'}"}
    os.environ |= {
        **database,
        "ENVIRONMENT": "development",
        "DJANGO_SETTINGS_MODULE": "ops.testing.unprepared_settings",
        "KIKAKU_TEST_ROOT": str(folder),
        "STRIPE_SECRET_KEY": "",
        "STRIPE_API_BASE": "",
    }
    import django

    django.setup()
    import logging

    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    logging.disable(logging.CRITICAL)  # what the night prints is the log
    return database


def main() -> int:
    """Play the night; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="kikaku-night-") as name:
        folder = Path(name)
        database = set_up(folder)
        from django.utils import timezone

        from kikaku.sandbox import adapter
        from ledger.testing import busy_day, company
        from ops.testing.house import running_house
        from ops.testing.night import Night

        company.ensure_tax_status()
        sandbox = adapter.sandbox()
        yesterday = timezone.localdate() - timedelta(days=1)
        busy_day.fill(sandbox, yesterday, payments=20)
        with running_house(folder, database, settings="ops.testing.unprepared_settings") as house:
            night = Night(house, lambda text: print(text, flush=True))
            night.play()
            night.say(f"{len(night.failures)} did not hold" if night.failures else "All of it held")
    return 1 if night.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
