"""What all tests rely on: tests of a missing engine are skipped or fail, groups run in one process."""

import pytest

from kikaku.testing import engine_missing


def test_a_missing_engine_skips_the_test_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIKAKU_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        engine_missing("no Chromium")


def test_a_missing_engine_fails_the_test_when_everything_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIKAKU_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        engine_missing("no Chromium")


@pytest.mark.xdist_group("the group")
def test_a_group_of_tests_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    """With pytest 9.2, pytest-xdist 3.8 silently ignores groups (its issue 1386)."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("tests run in one process")
    assert request.node.nodeid.endswith("@the group")
