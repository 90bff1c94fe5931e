"""How staff sign in: password, second factor, proof before something delicate, sessions, a lost telephone."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from auditlog.models import LogEntry
from django.conf import settings as project
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.testing import build
from ops.jobs import schedule
from ops.models import RateBucket, SignIn
from ops.people import roles
from ops.people.sessions import sign_out_everywhere
from ops.people.sign_in import SIGNED_IN_AT
from ops.testing import todos
from ops.web import limits

pytestmark = pytest.mark.django_db

LOGIN, CODE = "/admin/login/", "/admin/account/2fa/authenticate/"


@pytest.fixture(autouse=True)
def forgotten_limits() -> None:
    limits.clear_memory()


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("owner", "owner@example.jp", "pass-word-9")


def with_app(user: User) -> str:
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return str(secret)


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def code_of_next(secret: str) -> str:
    """Return the code of the next 30 seconds, which is accepted already."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + 1)))


def sign_in(client: Client, user: User, password: str = "pass-word-9", **form: str) -> Any:
    return client.post(LOGIN, {"username": user.username, "password": password, **form})


def is_signed_in(client: Client) -> bool:
    return client.get("/admin/ops/jobrun/").status_code == 200


def test_a_password_alone_signs_in_who_has_no_second_factor(client: Client, owner: User) -> None:
    answer = sign_in(client, owner, next="/admin/ledger/order/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/ledger/order/")
    assert is_signed_in(client)
    row = SignIn.objects.get()
    assert (row.user, row.succeeded, row.method, row.address) == (owner, True, "password", "127.0.0.1")


def test_the_second_factor_comes_before_the_session(client: Client, owner: User) -> None:
    secret = with_app(owner)
    answer = sign_in(client, owner)
    assert answer["Location"] == CODE and not is_signed_in(client)
    assert "_auth_user_id" not in client.session
    wrong = f"{(int(code_of(secret)) + 500_000) % 1_000_000:06}"
    assert client.post(CODE, {"code": wrong}).status_code == 200 and not is_signed_in(client)
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.status_code == 302 and is_signed_in(client)
    assert limits.DEVICE_COOKIE in answer.cookies  # a browser that has signed in is known from now on
    found = SignIn.objects.order_by("pk").values_list("succeeded", "method")
    assert list(found) == [(False, "totp"), (True, "totp")]


def test_a_lost_telephone_is_replaced_by_a_recovery_code_once(client: Client, owner: User) -> None:
    with_app(owner)
    [code, *_rest] = RecoveryCodes.activate(owner).get_unused_codes()
    sign_in(client, owner)
    assert client.post(CODE, {"code": code}).status_code == 302 and is_signed_in(client)
    other = Client()
    sign_in(other, owner)
    assert other.post(CODE, {"code": code}).status_code == 200 and not is_signed_in(other)


def test_a_code_of_the_app_is_accepted_once(client: Client, owner: User) -> None:
    code = code_of(with_app(owner))
    sign_in(client, owner)
    assert client.post(CODE, {"code": code}).status_code == 302 and is_signed_in(client)
    thief = Client()
    sign_in(thief, owner)
    for typed in (code, f"{code[:3]} {code[3:]}"):
        answer = thief.post(CODE, {"code": typed})
        assert "このコードは使用済みです" in answer.content.decode() and not is_signed_in(thief)
    old(client)
    answer = client.post("/admin/account/2fa/reauthenticate/", {"code": code})
    assert "このコードは使用済みです" in answer.content.decode()


def test_codes_are_limited_for_an_account_from_all_addresses(client: Client, owner: User) -> None:
    secret = with_app(owner)
    for number in range(15):
        guessing = Client(REMOTE_ADDR=f"192.0.2.{number}")
        sign_in_directly(guessing, owner, number)
        guessing.post(CODE, {"code": "000000"})
    last = Client(REMOTE_ADDR="198.51.100.1")
    sign_in_directly(last, owner, 99)
    answer = last.post(CODE, {"code": code_of(secret)})
    assert answer.status_code == 200 and not is_signed_in(last)
    assert "試行回数が多すぎます" in answer.content.decode()


def sign_in_directly(client: Client, user: User, number: int) -> None:
    """Give the right password; the limit of passwords is another one's test."""
    limits.clear_memory()
    RateBucket.objects.filter(key__startswith="name:").delete()
    assert sign_in(client, user)["Location"] == CODE, number


@pytest.mark.parametrize("role,asked", [(roles.OWNER, True), (roles.PACKER, False)])
def test_a_role_that_requires_a_second_factor_sees_only_its_setting_up(
    client: Client, settings: Settings, role: str, asked: bool
) -> None:
    settings.MFA_REQUIRED_ROLES = [roles.OWNER, roles.ACCOUNTANT]
    user = User.objects.create_user("sato", password="pass-word-9", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    sign_in(client, user)
    answer = client.get("/admin/ledger/order/")
    assert (answer.status_code, answer.get("Location")) == (
        (302, "/admin/account/2fa/") if asked else (200, None)
    )
    assert client.get("/admin/account/2fa/").status_code == 200
    assert client.get("/admin/account/2fa/totp/activate/").status_code == 200
    with_app(user)
    assert client.get("/admin/ledger/order/").status_code == 200


def test_a_superuser_counts_as_the_owner(client: Client, owner: User, settings: Settings) -> None:
    settings.MFA_REQUIRED_ROLES = [roles.OWNER]
    sign_in(client, owner)
    assert client.get("/admin/")["Location"] == "/admin/account/2fa/"


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="owner"):
        roles.check_names(["owner"])


def old(client: Client) -> None:
    """Let the proof of who is signed in be of yesterday."""
    session = client.session
    session[SIGNED_IN_AT] = time.time() - 86_400
    session["account_authentication_methods"] = []
    session.save()


def test_a_refund_above_the_ceiling_asks_for_proof_and_keeps_the_form(
    client: Client, owner: User, sandbox: Sandbox, settings: Settings
) -> None:
    settings.REFUND_CEILING = 100
    order = build.paid_order(sandbox)
    sign_in(client, owner)
    old(client)
    page = f"/admin/ledger/order/{order.pk}/refund/"
    form = {"nonce": "n", "what": "amount", "amount": "101", "reason": "破損", "side": "sales"}
    answer = client.post(page, form)
    assert answer["Location"] == f"/admin/account/reauthenticate/?next={page.replace('/', '%2F')}"
    assert not order.refunds.exists()
    answer = client.post("/admin/account/reauthenticate/", {"password": "pass-word-9", "next": page})
    assert answer["Location"] == page
    back = client.get(page)
    assert back.context["form"].data["reason"] == "破損" and back.context["preview"].amount == 101
    assert not order.refunds.exists()  # it is still to be confirmed
    confirmed = form | {"confirmed": back.context["preview"].plan, "seen": back.context["seen"]}
    assert client.post(page, confirmed).status_code == 302
    assert order.refunds.get().amount == 101


def test_a_cancellation_above_the_ceiling_is_not_carried_out_by_coming_back(
    client: Client, owner: User, sandbox: Sandbox, settings: Settings
) -> None:
    settings.REFUND_CEILING = 1
    order = build.paid_order(sandbox)
    sign_in(client, owner)
    old(client)
    page = f"/admin/ledger/order/{order.pk}/cancel/"
    assert client.post(page, {"nonce": "n", "reason": "staff"}).status_code == 302
    client.post("/admin/account/reauthenticate/", {"password": "pass-word-9", "next": page})
    assert client.get(page).context["form"].data["reason"] == "staff"
    order.refresh_from_db()
    assert order.status == "paid"


@pytest.mark.parametrize("meanwhile", ["signed out everywhere", "new password"])
def test_a_sign_in_that_waits_for_its_code_is_ended_with_the_others(
    client: Client, owner: User, meanwhile: str
) -> None:
    secret = with_app(owner)
    sign_in(client, owner)
    if meanwhile == "new password":
        owner.set_password("another-one-9")
        owner.save()
    else:
        sign_out_everywhere(owner, now=timezone.now())
    client.post(CODE, {"code": code_of(secret)})
    assert not is_signed_in(client)
    sign_in(client, owner, "another-one-9" if meanwhile == "new password" else "pass-word-9")
    client.post(CODE, {"code": code_of_next(secret)})
    assert is_signed_in(client)


def test_wrong_codes_of_a_stranger_do_not_lock_a_known_browser_out(client: Client, owner: User) -> None:
    secret = with_app(owner)
    sign_in(client, owner)
    client.post(CODE, {"code": code_of(secret)})  # from now on the browser is known
    del client.cookies[project.SESSION_COOKIE_NAME]
    stranger = Client()
    sign_in(stranger, owner)
    for number in range(project.LOGIN_LIMIT_PER_NAME[0] + 1):
        refused = stranger.post(CODE, {"code": "000000"}, REMOTE_ADDR=f"203.0.113.{number}")
    assert "分後" in refused.content.decode()
    sign_in(client, owner)
    client.post(CODE, {"code": code_of_next(secret)})
    assert is_signed_in(client)


def test_guessing_codes_is_limited_per_day_for_browsers_that_are_not_known(
    client: Client, owner: User, settings: Settings
) -> None:
    secret = with_app(owner)
    settings.LOGIN_LIMIT_PER_NAME, settings.SECOND_FACTOR_LIMIT_PER_DAY = (1_000_000, 60), (2, 86_400)
    sign_in(client, owner)
    for _guess in range(2):
        client.post(CODE, {"code": "000000"})
    assert "720 分後" in client.post(CODE, {"code": code_of(secret)}).content.decode()
    assert not is_signed_in(client)


def test_a_code_that_cannot_be_counted_signs_nobody_in(client: Client, owner: User) -> None:
    secret = with_app(owner)
    sign_in(client, owner)
    client.raise_request_exception = False

    def without_buckets(execute: Any, sql: str, *arguments: Any) -> Any:
        if "ops_ratebucket" in sql:
            raise OperationalError("database is locked")
        return execute(sql, *arguments)

    with connection.execute_wrapper(without_buckets):
        client.post(CODE, {"code": code_of(secret)})
    assert not is_signed_in(client)


def test_rejecting_a_large_order_asks_for_proof_and_keeps_the_reason(
    client: Client, owner: User, sandbox: Sandbox
) -> None:
    order = build.paid_order(sandbox, [build.line("CL-08", quantity=12, on_hand=20)])
    row = todos.made(now=timezone.now())[f"high_value:{order.number}"]
    sign_in(client, owner)
    old(client)
    page = f"/admin/ops/todo/{row.pk}/reject/"
    assert client.post(page, {"note": "転売の疑い"})["Location"].startswith("/admin/account/reauthenticate/")
    client.post("/admin/account/reauthenticate/", {"password": "pass-word-9", "next": page})
    assert client.get(page).context["form"].data["note"] == "転売の疑い"
    order.refresh_from_db()
    assert order.status == "paid"  # coming back is no confirmation
    assert client.post(page, {"note": "転売の疑い"})["Location"] == "/admin/ops/todo/"
    order.refresh_from_db()
    assert order.status == "cancelled"


def test_rights_are_changed_after_proof(client: Client, owner: User) -> None:
    sign_in(client, owner)
    pages = [
        f"/admin/auth/user/{owner.pk}/change/",
        f"/admin/auth/user/{owner.pk}/password/",
        f"/admin/auth/user/{owner.pk}/reset-two-factor/",
        "/admin/auth/user/add/",
        f"/admin/auth/group/{Group.objects.get(name=roles.PACKER).pk}/change/",
    ]
    for page in pages:
        assert client.get(page).status_code == 200, page
    old(client)
    for page in pages:
        for answer in (client.get(page), client.post(page, {})):
            assert answer["Location"].startswith("/admin/account/reauthenticate/"), page


@pytest.mark.parametrize(
    ("minutes", "opens", "sends"), [(14, True, True), (16, False, True), (31, False, False)]
)
def test_a_form_opens_for_fifteen_minutes_after_proof_and_is_sent_for_thirty(
    client: Client, owner: User, minutes: int, opens: bool, sends: bool
) -> None:
    sign_in(client, owner)
    session = client.session
    session[SIGNED_IN_AT] = time.time() - minutes * 60
    session["account_authentication_methods"] = []
    session.save()
    page = "/admin/auth/user/add/"
    answers = (client.get(page), client.post(page, {}))
    assert tuple(answer.status_code == 200 for answer in answers) == (opens, sends)


def test_a_superuser_resets_second_factors_and_the_log_has_it_without_secrets(
    client: Client, owner: User
) -> None:
    lost = User.objects.create_user("sato", password="pass-word-9", is_staff=True)
    elsewhere = Client()
    elsewhere.force_login(lost)
    secret = with_app(lost)
    RecoveryCodes.activate(lost)
    sign_in(client, owner)
    page = f"/admin/auth/user/{lost.pk}/reset-two-factor/"
    assert "sato" in client.get(page).content.decode()
    assert client.post(page).status_code == 302
    assert not Authenticator.objects.filter(user=lost).exists()
    assert elsewhere.get("/admin/")["Location"].startswith(LOGIN)
    entries = LogEntry.objects.filter(content_type__model="authenticator", actor=owner)
    assert entries.count() == 2
    written = "".join(f"{entry.changes}{entry.object_repr}" for entry in LogEntry.objects.all())
    assert secret not in written and "secret" not in written and "seed" not in written


def test_who_is_no_superuser_resets_nobody(client: Client) -> None:
    user = User.objects.create_user("sato", password="pass-word-9", is_staff=True)
    user.groups.add(Group.objects.get(name=roles.OWNER))
    with_app(user)
    client.force_login(user)
    for act in ("reset-two-factor", "sign-out"):
        assert client.post(f"/admin/auth/user/{user.pk}/{act}/").status_code == 403
    assert Authenticator.objects.filter(user=user).exists()


def test_the_command_resets_the_second_factor_of_a_single_owner(
    owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    with_app(owner)
    call_command("reset_two_factor", "owner")
    assert "owner: 1 second factors taken away" in capsys.readouterr().out
    assert not Authenticator.objects.exists()


def test_signing_out_everywhere_ends_every_session(client: Client, owner: User) -> None:
    other = Client()
    sign_in(client, owner)
    sign_in(other, owner)
    assert client.post("/admin/account/sign-out/").status_code == 302
    assert not is_signed_in(client) and not is_signed_in(other)
    time.sleep(0.01)
    sign_in(client, owner)
    assert is_signed_in(client)


def test_a_changed_password_ends_the_other_sessions(client: Client, owner: User) -> None:
    other = Client()
    sign_in(client, owner)
    sign_in(other, owner)
    form = {"old_password": "pass-word-9", "new_password1": "other-word-9", "new_password2": "other-word-9"}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert is_signed_in(client) and not is_signed_in(other)


def test_staff_see_their_own_sign_ins_and_the_owner_all(client: Client, owner: User) -> None:
    clerk = User.objects.create_user("sato", password="pass-word-9", is_staff=True)
    sign_in(client, owner, HTTP_USER_AGENT="x")
    sign_in(Client(REMOTE_ADDR="192.0.2.7"), owner, "wrong")
    clerks = Client(REMOTE_ADDR="192.0.2.8")
    sign_in(clerks, clerk)
    own = clerks.get("/admin/account/sign-ins/").content.decode()
    assert "192.0.2.8" in own and "192.0.2.7" not in own
    assert clerks.get("/admin/ops/signin/").status_code == 403
    listed = client.get("/admin/ops/signin/").content.decode()
    assert "192.0.2.7" in listed and "192.0.2.8" in listed


def test_a_name_of_nobody_is_not_kept(client: Client) -> None:
    client.post(LOGIN, {"username": "my-secret-password", "password": "x"})
    assert not SignIn.objects.exists()


def test_a_forgotten_password_is_reset_by_mail_for_staff_alone(client: Client, owner: User) -> None:
    User.objects.create_user("customer", "customer@example.jp", "pass-word-9")
    for address in ("customer@example.jp", "nobody@example.jp", owner.email):
        answer = client.post("/admin/account/password/", {"email": address})
        assert answer["Location"] == "/admin/account/password/sent/"
    [sent] = mail.outbox
    assert sent.to == [owner.email] and "再設定" in sent.subject
    found = re.search(r"/admin/account/password/\S+", str(sent.body))
    assert found is not None
    secret = with_app(owner)
    form = client.get(found[0], follow=True)
    page = form.redirect_chain[-1][0]
    new = {"new_password1": "other-word-9", "new_password2": "other-word-9"}
    assert client.post(page, new)["Location"] == "/admin/account/password/done/"
    assert sign_in(client, owner, "other-word-9")["Location"] == CODE  # the second factor stays
    assert client.post(CODE, {"code": code_of(secret)}).status_code == 302


def test_old_sign_ins_are_pruned(owner: User, settings: Settings) -> None:

    settings.SIGN_IN_DAYS = 0
    SignIn.objects.create(user=owner, at=timezone.now(), succeeded=True, method="password")
    schedule.prune(timezone.now() + timedelta(seconds=1))
    assert not SignIn.objects.exists()
