"""Measure the shop and its books against their goals.

make bench                                    everything: ten minutes at most
make bench ARGS="pages"                       a part alone: pages, webhooks, close, d1 or caches
make bench ARGS="pages --without fragments"   with a cache of the shop turned off (pages and d1)
make bench ARGS="close --day 100000"          the close of a larger day
DB=postgres make bench                        on a PostgreSQL server; d1 uses its own two engines
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from d1 import EngineUnavailable
from postgres import NoPostgres
from test import database

from bench.caches import CACHES, VARIABLE
from bench.report import Figure, heading
from bench.server import ServerFailed

PARTS = {
    "pages": "Pages: processor time of a request, and its queries",
    "webhooks": "Webhooks: signed events over 8 connections",
    "close": "The daily close",
    "d1": "Cloudflare D1 beside SQLite: round trips, and time",
    "caches": "The shop's caches: the processor time that each saves of the requests it serves",
}
DEFAULT_ROUNDS, DEFAULT_REQUESTS, DEFAULT_PAYMENTS, DEFAULT_DAY_PAYMENTS = 12, 25, 300, 10_000
DEFAULT_REPEATS = 10


def positive_integer(text: str) -> int:
    """Return an integer from 1 to 1,000,000."""
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"an integer from 1 to 1,000,000 is needed, not {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--rounds", type=positive_integer, default=DEFAULT_ROUNDS, help="of the pages (default %(default)s)"
    )
    parser.add_argument(
        "--requests",
        type=positive_integer,
        default=DEFAULT_REQUESTS,
        help="of a page in a round (default %(default)s)",
    )
    parser.add_argument(
        "--payments",
        type=positive_integer,
        default=DEFAULT_PAYMENTS,
        help="whose events are sent (default %(default)s)",
    )
    parser.add_argument(
        "--day",
        type=positive_integer,
        default=DEFAULT_DAY_PAYMENTS,
        help="payments of the day to close (default %(default)s)",
    )
    parser.add_argument(
        "--repeats",
        type=positive_integer,
        default=DEFAULT_REPEATS,
        help="of each act on D1 and on SQLite (default %(default)s)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=CACHES,
        metavar="cache",
        help=f"turn a cache of the shop off: {', '.join(CACHES)}",
    )
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return options


def progress(text: str) -> None:
    """Print progress on standard error."""
    print(f"  … {text}", file=sys.stderr, flush=True)


def prepare(folder: Path, database: dict[str, str], without: Sequence[str] = ()) -> None:
    """Set Django up on a new database."""
    os.environ |= {
        "ENVIRONMENT": "development",
        "DJANGO_SETTINGS_MODULE": "bench.settings",
        "BENCH_FOLDER": str(folder),
        "STRIPE_SECRET_KEY": "",
        "STRIPE_API_BASE": "",
        "EMAIL_URL": "",
        VARIABLE: ",".join(without),
        "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
        **database,
    }
    import django
    from django.core.management import call_command

    progress("database: migrations")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    from ledger.testing.company import ensure_tax_status

    ensure_tax_status()
    call_command("collectstatic", interactive=False, verbosity=0)


def figures(part: str, folder: Path, options: argparse.Namespace) -> Iterator[Figure]:
    """Yield the figures of a part."""
    if part == "pages":
        from bench import dribble, pages

        yield from pages.measure(folder, rounds=options.rounds, requests=options.requests, progress=progress)
        yield from dribble.measure(folder, progress=progress)
    elif part == "caches":
        from bench import savings

        yield from savings.measure(
            folder,
            rounds=options.rounds,
            requests=options.requests,
            repeats=options.repeats,
            progress=progress,
        )
    elif part == "webhooks":
        from bench import webhooks

        yield from webhooks.measure(folder, payments=options.payments, progress=progress)
    elif part == "d1":
        from bench import d1

        yield from d1.measure(folder, rounds=options.repeats, progress=progress)
    else:
        from bench import close

        yield from close.measure(folder, payments=options.day, progress=progress)


def main() -> int:
    """Print the report; return 1 if something could not be measured, whatever the figures."""
    options = arguments()
    began = time.monotonic()
    engine = os.environ.get("DB", "sqlite")
    try:
        with tempfile.TemporaryDirectory(prefix="kikaku-bench-") as name, database(engine) as extra:
            folder = Path(name)
            prepare(folder, extra, options.without)
            print(f"Engine: {engine}. Processors: {os.cpu_count()}.", flush=True)
            for part in [part for part in PARTS if part in (options.parts or PARTS)]:
                print(heading(PARTS[part]), flush=True)
                for figure in figures(part, folder, options):
                    print(figure.line(), flush=True)
    except (ServerFailed, NoPostgres, EngineUnavailable) as error:
        print(f"\nThe bench could not go on: {error}", file=sys.stderr)
        return 1
    print(f"\nIt took {time.monotonic() - began:.0f} seconds.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
