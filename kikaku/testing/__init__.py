"""What tests of every app share: how an engine that the machine lacks is treated."""

import os
from typing import NoReturn

import pytest


def engine_missing(reason: str) -> NoReturn:
    """Skip the running test because `reason`; fail it when `KIKAKU_REQUIRE=all` forbids skips, as CI does."""
    if os.environ.get("KIKAKU_REQUIRE") == "all":
        pytest.fail(f"KIKAKU_REQUIRE=all, but {reason}", pytrace=False)
    pytest.skip(reason)
