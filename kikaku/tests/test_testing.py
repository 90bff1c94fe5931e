"""Tests of a missing engine are skipped with the reason, or fail when every engine is required."""

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
