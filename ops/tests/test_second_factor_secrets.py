"""The secrets of second factors in the database: no row has them in clear, and a changed key says so."""

import importlib
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from ops.people.second_factor import SecretUnreadable, decrypt, encrypt
from ops.web import limits

pytestmark = pytest.mark.django_db

CODE = "/admin/account/2fa/authenticate/"
OTHER_KEY = "another-secret-key-" + "1" * 40
CHANGED = "SECRET_KEY が変更されました"


@pytest.fixture
def owner() -> User:
    limits.clear_memory()
    return User.objects.create_superuser("owner", "owner@example.jp", "pass-word-9")


def stored(kind: str) -> str:
    return str(Authenticator.objects.get(type=kind).data)


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def answer_code(client: Client, code: str) -> str:
    """Give the password and a code, and return the page that shows what is wrong with it; "" for nothing."""
    client.post("/admin/login/", {"username": "owner", "password": "pass-word-9"})
    answer = client.post(CODE, {"code": code})
    return "" if answer.status_code == 302 else answer.content.decode()


def test_the_rows_hold_no_secret_and_the_sign_in_works(client: Client, owner: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(owner, secret)
    codes = RecoveryCodes.activate(owner).get_unused_codes()
    seed = decrypt(Authenticator.objects.get(type="recovery_codes").data["seed"])
    assert secret not in stored("totp") and seed not in stored("recovery_codes")
    assert answer_code(client, code_of(secret)) == ""
    assert client.get("/admin/ops/jobrun/").status_code == 200
    assert answer_code(Client(), codes[0]) == ""


def test_a_secret_is_read_under_an_earlier_key_that_is_still_named(settings: Settings) -> None:
    first_key, kept = settings.SECRET_KEY, encrypt("secret")
    settings.SECRET_KEY = OTHER_KEY
    with pytest.raises(SecretUnreadable):
        decrypt(kept)
    settings.SECRET_KEY_FALLBACKS = [first_key]
    assert decrypt(kept) == "secret"
    new = encrypt("secret")
    settings.SECRET_KEY_FALLBACKS = []
    assert decrypt(new) == "secret"  # what is stored now is under the new key alone


def test_what_was_not_encrypted_here_is_no_secret() -> None:
    for garbage in ("", "JBSWY3DPEHPK3PXP", "あ", encrypt("secret")[:-4]):
        with pytest.raises(SecretUnreadable):
            decrypt(garbage)


def test_after_a_change_of_the_key_the_sign_in_says_what_to_do(
    client: Client, owner: User, settings: Settings
) -> None:
    secret = generate_totp_secret()
    TOTP.activate(owner, secret)
    [code, *_rest] = RecoveryCodes.activate(owner).get_unused_codes()
    settings.SECRET_KEY = OTHER_KEY
    for typed in (code_of(secret), code, "000000"):
        assert CHANGED in answer_code(client, typed)
    assert client.get("/admin/ops/jobrun/").status_code == 302


def test_after_a_change_of_the_key_no_page_of_the_second_factors_fails(
    client: Client, owner: User, settings: Settings
) -> None:
    TOTP.activate(owner, generate_totp_secret())
    RecoveryCodes.activate(owner)
    settings.SECRET_KEY = OTHER_KEY
    client.force_login(owner)  # as with a passkey
    proof = client.post("/admin/account/2fa/reauthenticate/", {"code": "000000"})
    assert proof.status_code == 200 and CHANGED in proof.content.decode()
    assert client.post("/admin/account/reauthenticate/", {"password": "pass-word-9"}).status_code == 302
    for page in ("", "recovery-codes/", "recovery-codes/generate/", "recovery-codes/download/"):
        shown = client.get(f"/admin/account/2fa/{page}", follow=True)
        assert shown.status_code == 200, page
        assert (CHANGED in shown.content.decode()) == bool(page), page
    # the app is taken away and set up again without its secret
    assert client.post("/admin/account/2fa/totp/deactivate/").status_code == 302
    assert not Authenticator.objects.exists()


def test_the_migration_encrypts_what_is_there_and_back(owner: User) -> None:
    migration = importlib.import_module("ops.migrations.0012_encrypted_second_factors")
    migration.encrypt_rows(apps, None)  # of none
    clear = {
        "totp": {"secret": "JBSWY3DPEHPK3PXP"},
        "recovery_codes": {"seed": "5eed" * 20, "used_mask": 5},
        "webauthn": {"name": "鍵", "credential": {}},
    }
    for kind, data in clear.items():
        Authenticator.objects.create(user=owner, type=kind, data=data)
    migration.encrypt_rows(apps, None)
    rows = {row.type: row.data for row in Authenticator.objects.all()}
    assert rows["webauthn"] == clear["webauthn"]
    assert rows["totp"].keys() == {"secret"} and rows["recovery_codes"]["used_mask"] == 5
    assert decrypt(rows["totp"]["secret"]) == "JBSWY3DPEHPK3PXP"
    assert decrypt(rows["recovery_codes"]["seed"]) == "5eed" * 20
    migration.decrypt_rows(apps, None)
    assert {row.type: row.data for row in Authenticator.objects.all()} == clear
