"""A wrong or dangerous setting stops the start with the variable's name."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from kikaku.door import THREADS
from kikaku.storages import R2_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "kikaku" / "settings.py"
EXAMPLE = ROOT / ".env.example"

PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6Pm4Sc0Ga-Ue_Vi-Wo_Xy-Qb_Nd",
    "STOREFRONT_BASE_URL": "https://shop.example.jp",
    "STRIPE_SECRET_KEY": "rk_live_1234567890",
    "STRIPE_WEBHOOK_SECRET": "whsec_1234567890",
    "DATABASE_URL": "sqlite:////tmp/never-opened.sqlite3",
}
D1_SECRETS = {
    "D1_GATEWAY_SECRET": "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6Pm4Sc0Ga",
    "CLOUDFLARE_API_TOKEN": "a token that may edit D1",
}
DEVELOPMENT = {"ENVIRONMENT": "development", "DATABASE_URL": "sqlite:////tmp/never-opened.sqlite3"}


def variables_read() -> set[str]:
    """Return every variable that settings.py reads."""
    tree = ast.parse(SETTINGS.read_text())
    found = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id.startswith("env_")
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }
    return found | set(R2_VARIABLES)


def variables_listed() -> list[str]:
    return re.findall(r"^([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(), re.MULTILINE)


def load(monkeypatch: pytest.MonkeyPatch, base: dict[str, str], **changes: str) -> dict[str, Any]:
    """Load settings.py with exactly these variables; the others are set to "", so that .env adds none."""
    for name in variables_read() | set(variables_listed()):
        monkeypatch.setenv(name, "")
    for name, value in {**base, **changes}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(SETTINGS))


def test_the_example_lists_exactly_the_variables_that_settings_read() -> None:
    listed = variables_listed()
    assert len(listed) == len(set(listed))
    assert set(listed) == variables_read()


def test_every_variable_in_the_example_is_explained() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[A-Z]", line) and not line.startswith("R2_"):
            assert lines[number - 1].startswith("# "), line


def test_development_needs_no_variable_but_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, DEVELOPMENT)
    assert settings["SANDBOX"]
    assert settings["STOREFRONT_BASE_URL"] == "http://127.0.0.1:8000"
    assert settings["SANDBOX_BASE_URL"] == "http://127.0.0.1:8001"


def test_a_correct_production_starts_without_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, PRODUCTION)
    assert settings["PRODUCTION"] and not settings["SANDBOX"] and not settings["DEBUG"]
    assert settings["SESSION_COOKIE_SECURE"] and settings["SECURE_HSTS_SECONDS"]
    assert settings["ALLOWED_HOSTS"] == ["shop.example.jp"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", PRODUCTION["SECRET_KEY"][:49]),
        ("SECRET_KEY", "development-only-" + "0" * 40),
        ("ADMIN_API_KEY", "secret"),
        ("ADMIN_API_KEY", "a" * 40),
        ("D1_GATEWAY_SECRET", "secret"),
        ("D1_GATEWAY_SECRET", "a" * 40),
        ("STOREFRONT_BASE_URL", ""),
        ("STOREFRONT_BASE_URL", "http://shop.example.jp"),
        ("STOREFRONT_BASE_URL", "shop.example.jp"),
        ("STOREFRONT_BASE_URL", "https://shop.example.jp:port"),
        ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_SECRET_KEY", "sk_test_123"),
        ("STRIPE_SECRET_KEY", "live"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_123"),
        ("STRIPE_PUBLISHABLE_KEY", "sk_live_123"),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("STRIPE_WEBHOOK_SECRET", "secret"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_a,whsec_b,whsec_c"),
        ("STRIPE_API_BASE", "http://127.0.0.1:8001"),
        ("STRIPE_API_BASE", "127.0.0.1"),
        ("DATABASE_URL", "mysql://localhost/shop"),
        *[
            ("CORS_ALLOWED_ORIGINS", wrong)
            for wrong in (
                "*",
                "https://*.example.jp",
                "http://www.example.jp",
                "www.example.jp",
                "https://www.example.jp/",
                "https://www.example.jp/shop",
                "https://www.example.jp:443",
                "https://www.example.jp:port",
                "https://WWW.example.jp",
                "https://user@www.example.jp",
                "https://www.example.jp,null",
            )
        ],
        ("R2_LINK_MINUTES", "0"),
        ("R2_ENDPOINT_URL", "account"),
        ("R2_PUBLIC_URL", "ftp://files.example.jp"),
        ("EMAIL_URL", "pop3://mail.example.jp"),
        ("EMAIL_URL", "smtp://"),
        ("REDIS_URL", "localhost:6379"),
        ("SLACK_WEBHOOK_URL", "hooks.slack.com/abc"),
        ("SENTRY_DSN", "key@sentry"),
    ],
)
def test_production_refuses_a_wrong_value_and_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=variable):
        load(monkeypatch, PRODUCTION, **{variable: value})


def test_the_own_origin_and_those_named_may_read_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    named = "https://www.example.jp, https://www.example.jp:8443"
    found = load(monkeypatch, PRODUCTION, CORS_ALLOWED_ORIGINS=named)
    assert found["CORS_ALLOWED_ORIGINS"] == ["https://shop.example.jp", *named.split(", ")]
    assert not found["CORS_ALLOW_CREDENTIALS"]
    assert not {name for name in found if "REGEX" in name} - {"CORS_URLS_REGEX"}
    found = load(monkeypatch, DEVELOPMENT, CORS_ALLOWED_ORIGINS="http://localhost:3000")
    assert found["CORS_ALLOWED_ORIGINS"][1:] == ["http://localhost:3000"]


def test_django_s_checks_of_a_deployment_find_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/shop.sqlite3"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues (3 silenced)" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STRIPE_SECRET_KEY", "sk_live_123"),
        ("STRIPE_SECRET_KEY", "rk_live_1"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_live_1"),
    ],
)
def test_development_refuses_a_live_key(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=variable):
        load(monkeypatch, DEVELOPMENT, **{variable: value})


@pytest.mark.parametrize(
    "missing",
    ["R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_PRIVATE_BUCKET", "R2_PUBLIC_BUCKET", "R2_PUBLIC_URL"],
)
def test_r2_is_configured_completely_or_not_at_all(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    whole = {
        "R2_ENDPOINT_URL": "https://account.r2.example.com",
        "R2_ACCESS_KEY_ID": "id",
        "R2_SECRET_ACCESS_KEY": "secret",
        "R2_PRIVATE_BUCKET": "private",
        "R2_PUBLIC_BUCKET": "public",
        "R2_PUBLIC_URL": "https://files.example.jp",
    }
    assert "ObjectStorage" in str(load(monkeypatch, PRODUCTION, **whole)["STORAGES"]["evidence"])
    with pytest.raises(ImproperlyConfigured, match=missing):
        load(monkeypatch, PRODUCTION, **{**whole, missing: ""})


def test_no_refusal_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SECRET_KEY", "ADMIN_API_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        with pytest.raises(ImproperlyConfigured) as refusal:
            load(monkeypatch, PRODUCTION, **{variable: "hush-hush"})
        assert "hush-hush" not in str(refusal.value)


def test_sqlite_keeps_a_paid_order_through_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    options = load(monkeypatch, DEVELOPMENT)["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"] and "synchronous=FULL" in options["init_command"]


@pytest.mark.parametrize(
    ("url", "secret", "options"),
    [
        ("d1://d1.internal/DB", "D1_GATEWAY_SECRET", {}),
        ("d1://d1.example.jp/DB?pool_size=2", "D1_GATEWAY_SECRET", {"pool_size": 2}),
        ("d1-rest://0123abcd/11111111-2222", "CLOUDFLARE_API_TOKEN", {"transport": "rest"}),
    ],
)
def test_a_shop_on_d1_has_its_database_by_its_address_and_its_secret_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, url: str, secret: str, options: dict[str, Any]
) -> None:
    settings = load(monkeypatch, PRODUCTION, DATABASE_URL=url, **D1_SECRETS)
    database = settings["DATABASES"]["default"]
    assert database["ENGINE"] == "kikaku.d1"
    assert database["PASSWORD"] == D1_SECRETS[secret]
    every_thread = {"pool_size": sum(THREADS.values())}  # of the web process has a connection
    assert database["OPTIONS"] == every_thread | options  # and none of SQLite's
    assert settings["VAR_DIR"].name == "d1"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("d1://DB", "must look like d1://host/name"),
        ("d1-rest://account", "must look like d1-rest://account/database"),
        ("d1://:hush-hush@d1.internal/DB", "must hold no secret"),
        ("d1://d1.internal/DB?timeout=3", "option 'timeout' is unknown"),
        ("d1://d1.internal/DB?isolation=snapshot", "isolation must be read committed or serializable"),
        ("d1://d1.internal/DB?pool_size=many", "pool_size must be a number"),
        ("d1://d1.internal/DB?read_timeout=0", "read_timeout must be above 0"),
        ("d1://d1.internal:port/DB", "Port could not be cast"),
        ("d2://d1.internal/DB", "must begin with sqlite:///, postgres://, d1:// or d1-rest://"),
    ],
)
def test_a_wrong_address_of_d1_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, url: str, error: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^DATABASE_URL .*{re.escape(error)}") as refusal:
        load(monkeypatch, PRODUCTION, DATABASE_URL=url, **D1_SECRETS)
    assert "hush-hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "secret"),
    [("d1://d1.internal/DB", "D1_GATEWAY_SECRET"), ("d1-rest://account/database", "CLOUDFLARE_API_TOKEN")],
)
def test_a_missing_secret_of_d1_is_named(monkeypatch: pytest.MonkeyPatch, url: str, secret: str) -> None:
    others = {name: value for name, value in D1_SECRETS.items() if name != secret}
    with pytest.raises(ImproperlyConfigured, match=f"^DATABASE_URL .*{secret} is missing"):
        load(monkeypatch, PRODUCTION, DATABASE_URL=url, **others)


def test_settings_list_what_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    off = "\n".join(load(monkeypatch, DEVELOPMENT)["SWITCHED_OFF"])
    for variable in (
        "R2_ENDPOINT_URL",
        "D1_GATEWAY_SECRET",
        "REDIS_URL",
        "EMAIL_URL",
        "BOOKS_EMAIL",
        "BACKUP_RECIPIENT",
        "SLACK_WEBHOOK_URL",
        "SENTRY_DSN",
        "STRIPE_SECRET_KEY",
    ):
        assert variable in off
    on = load(
        monkeypatch,
        DEVELOPMENT,
        D1_GATEWAY_SECRET=D1_SECRETS["D1_GATEWAY_SECRET"],
        EMAIL_URL="smtp://localhost:2525",
        BOOKS_EMAIL="books@example.jp",
        BACKUP_RECIPIENT="age1" + "q" * 58,
        REDIS_URL="redis://localhost:6379/0",
        STRIPE_SECRET_KEY="sk_test_1",
        SENTRY_DSN="https://key@sentry.example.com/1",
        SLACK_WEBHOOK_URL="https://hooks.example.com/x",
    )["SWITCHED_OFF"]
    assert len(on) == 1 and "R2_ENDPOINT_URL" in on[0]


def test_in_production_no_subdomain_can_plant_a_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, PRODUCTION)
    for name in ("SESSION", "CSRF"):
        assert settings[f"{name}_COOKIE_NAME"].startswith("__Host-")
        assert settings[f"{name}_COOKIE_SECURE"] and f"{name}_COOKIE_DOMAIN" not in settings
    assert load(monkeypatch, DEVELOPMENT)["SESSION_COOKIE_NAME"] == "sessionid"
