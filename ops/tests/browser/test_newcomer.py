"""A newcomer as owner: two factors, an account for a packer, a lost telephone, in a real browser.

The shop asks for second factors as production does, and is reached by a name: passkeys know no numeric
address.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, Page, expect

from kikaku.testing.ports import find_free_ports
from ops.testing.browser import DESK, PHONE, Opener
from ops.testing.browser_steps import VISA, follow_to_order, open_action, order_goods, pay
from ops.testing.running import RunningShop

pytestmark = [pytest.mark.browser, pytest.mark.engine_independent]

OWNER, FRIEND = ("tencho", "himitsu-no-kagi-1"), ("fukutencho", "himitsu-no-kagi-1")
FORGETFUL, NEW_PASSWORD = ("wasureta", "himitsu-no-kagi-1"), "atarashii-kagi-2"
PACKER = ("shukka", "shukka-no-kagi-1")
ENGLISH = re.compile(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}")  # a sentence that nobody has translated
SHOTS = os.environ.get("KIKAKU_SHOTS")  # a folder for pictures of every page


@pytest.fixture(scope="module")
def strict_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """Run a shop that requires second factors, with accounts as `createsuperuser` makes them."""
    port = find_free_ports()
    variables = {
        "MFA_REQUIRED_ROLES": "店主,経理",
        "DJANGO_SUPERUSER_PASSWORD": OWNER[1],
        "STOREFRONT_BASE_URL": f"http://localhost:{port}",
    }
    running = RunningShop(tmp_path_factory.mktemp("strict"), port=port, variables=variables)
    running.url = variables["STOREFRONT_BASE_URL"]
    try:
        running.wait_until_ready()
        for name, _password in (OWNER, FRIEND, FORGETFUL):
            made = running.manage(
                "createsuperuser", "--noinput", f"--username={name}", f"--email={name}@example.jp"
            )
            assert made.returncode == 0, made.stderr
        yield running
    finally:
        running.stop()


@pytest.fixture
def strict_visit(strict_shop: RunningShop, chromium: Browser) -> Iterator[Opener]:
    """Return a function that opens a browser on this shop; see `Opener.close`."""
    opener = Opener(strict_shop, chromium)
    yield opener
    opener.close()


def code_of(secret: str) -> str:
    """Return what an authenticator app shows."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def look(page: Page, name: str) -> None:
    """Check that a page is Japanese and fits both widths; with KIKAKU_SHOTS take pictures of it."""
    text = page.locator("body").inner_text()
    assert not ENGLISH.search(text), (name, ENGLISH.findall(text))
    size = page.viewport_size
    assert size is not None
    for width, height in (PHONE, DESK):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{width}.png", full_page=True)
    page.set_viewport_size(size)


def give_password(page: Page, who: tuple[str, str]) -> None:
    """Send the form of the login."""
    page.goto("/admin/login/")
    page.locator("input[name=username]").fill(who[0])
    page.locator("input[name=password]").fill(who[1])
    page.locator("#login-form button[type=submit]").first.click()


def set_up_app(page: Page) -> tuple[str, list[str]]:
    """Set up an app from the page of second factors; return its secret and the recovery codes."""
    page.locator("main a[href*='/totp/activate/']").first.click()
    look(page, "app")
    secret = page.locator("#authenticator_secret").input_value()
    page.locator("input[name=code]").fill(code_of(secret))
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url(re.compile("/recovery-codes/"))
    look(page, "recovery-codes")
    return secret, page.locator("#recovery_codes").input_value().split()


def give_code(page: Page, code: str) -> None:
    """Send the code of the second factor."""
    page.locator("input[name=code]").fill(code)
    page.locator("main form button[type=submit]").first.click()


def test_a_newcomer_makes_a_packers_account_and_recovers_from_a_lost_telephone(
    strict_shop: RunningShop, strict_visit: Opener
) -> None:
    customer = strict_visit(PHONE)
    order_goods(customer, "desk-lamps")
    pay(customer, VISA)
    number = follow_to_order(customer)

    # the first login: nothing opens before a second factor is set up
    owner = strict_visit(PHONE)
    owner.goto("/admin/")
    look(owner, "login")
    give_password(owner, OWNER)
    owner.wait_for_url(re.compile("/admin/account/2fa/$"))
    look(owner, "second-factor")
    owner.goto("/admin/ledger/order/")
    assert "/2fa/" in owner.url
    secret, codes = set_up_app(owner)
    assert len(codes) == 10
    owner.goto("/admin/")
    expect(owner.locator(".today-tiles")).to_be_visible()

    # an account for a packer, on one page
    owner.goto("/admin/auth/user/add/")
    look(owner, "new-account")
    owner.locator("input[name=username]").fill(PACKER[0])
    owner.locator("input[name=email]").fill("shukka@example.jp")
    owner.get_by_label("出荷担当").check()
    for name in ("password1", "password2"):
        owner.locator(f"input[name={name}]").fill(PACKER[1])
    owner.locator("button[name=_save], input[name=_save]").first.click()
    expect(owner.locator("body")).to_contain_text(PACKER[0])
    owner.goto("/admin/auth/user/")
    look(owner, "accounts")
    expect(owner.locator("body")).to_contain_text("出荷担当")

    # the packer ships, and does nothing else
    packer = strict_visit(DESK)
    give_password(packer, PACKER)
    packer.wait_for_url(re.compile("/admin/$"))
    look(packer, "packers-first-page")
    expect(packer.locator("#content")).not_to_contain_text("売上")
    open_action(packer, number, "ship")
    look(packer, "ship")
    packer.locator("input[name=tracking_number]").fill("1234-5678-9013")
    packer.locator("#content-main form button[type=submit]").first.click()
    expect(packer.locator("body")).to_contain_text("1234-5678-9013")
    look(packer, "shipped")
    for hidden in ("仕訳", "支払いページ", "4110", "Stripe"):
        expect(packer.locator("main, #content-main").first).not_to_contain_text(hidden)
    order = packer.url.partition("/change/")[0]
    for act in ("refund", "cancel", "keep"):
        assert not packer.locator(f"a[href$='/{act}']").count(), act
        answer = packer.goto(f"{order}/{act}/")
        assert answer is not None and answer.status == 403, act
    look(packer, "refused")
    for page in ("ledger/dailyclose", "ledger/journalentry", "shop/product", "auth/user", "ledger/refund"):
        answer = packer.goto(f"/admin/{page}/")
        assert answer is not None and answer.status == 403, page

    # what asks for proof again
    for way in ("reauthenticate", "2fa/reauthenticate"):
        owner.goto(f"/admin/account/{way}/?next=/admin/")
        look(owner, f"proof-{way.partition('/')[0]}")

    # the telephone is lost: a recovery code, once, and a new app
    owner.context.clear_cookies()
    give_password(owner, OWNER)
    owner.wait_for_url(re.compile("/2fa/authenticate/"))
    look(owner, "code")
    give_code(owner, codes[0])
    owner.wait_for_url(re.compile("/admin/$"))
    owner.goto("/admin/account/2fa/")
    look(owner, "second-factors")
    owner.locator("main a[href*='/totp/deactivate/']").click()
    look(owner, "take-app-away")
    owner.locator("main form button[type=submit]").first.click()
    owner.wait_for_url(re.compile("/admin/account/2fa/$"))
    new_secret, new_codes = set_up_app(owner)
    assert new_secret != secret
    owner.context.clear_cookies()
    give_password(owner, OWNER)
    for wrong in (codes[0], code_of(secret)):
        give_code(owner, wrong)
        assert "/2fa/authenticate/" in owner.url, (
            "a used code, or that of the lost telephone, opened the admin"
        )
    look(owner, "wrong-code")
    give_code(owner, new_codes[0])
    owner.wait_for_url(re.compile("/admin/$"))

    # the packer sets up an app, too, and loses telephone and codes: the owner resets it
    packer.goto("/admin/account/2fa/")
    set_up_app(packer)
    packer.context.clear_cookies()
    give_password(packer, PACKER)
    packer.wait_for_url(re.compile("/2fa/authenticate/"))
    owner.goto("/admin/auth/user/")
    owner.get_by_role("link", name=PACKER[0]).first.click()
    look(owner, "account")
    owner.goto(str(owner.locator("a[href*='/reset-two-factor']").first.get_attribute("href")))
    look(owner, "reset")
    owner.locator("main form button[type=submit], #content form button[type=submit]").first.click()
    expect(owner.locator("body")).to_contain_text("解除しました")
    give_password(packer, PACKER)
    packer.wait_for_url(re.compile("/admin/$"))
    packer.goto("/admin/account/2fa/")
    set_up_app(packer)

    # the owner has lost everything: the server takes the factors away
    reset = strict_shop.manage("reset_two_factor", OWNER[0])
    assert reset.returncode == 0, reset.stderr
    owner.goto("/admin/")
    assert "/login/" in owner.url  # signed out everywhere
    give_password(owner, OWNER)
    owner.wait_for_url(re.compile("/admin/account/2fa/$"))


def test_a_forgotten_password_is_replaced_by_the_link_of_a_mail(
    strict_shop: RunningShop, strict_visit: Opener
) -> None:
    page = strict_visit(PHONE)
    page.goto("/admin/login/")
    page.locator("a[href*='/account/password/']").first.click()
    look(page, "forgotten-password")
    page.locator("input[name=email]").fill(f"{FORGETFUL[0]}@example.jp")
    page.locator("form button[type=submit]").last.click()
    page.wait_for_url(re.compile("/password/sent/"))
    look(page, "reset-mail-sent")
    strict_shop.wait_for("お心当たりがない場合は", seconds=20)  # the mail's end: the link comes before
    link = re.search(r"http://\S+/admin/account/password/\S+", strict_shop.output())
    assert link
    page.goto(link.group())
    look(page, "new-password")
    for name in ("new_password1", "new_password2"):
        page.locator(f"input[name={name}]").fill(NEW_PASSWORD)
    page.locator("form button[type=submit]").last.click()
    page.wait_for_url(re.compile("/password/done/"))
    look(page, "password-replaced")
    give_password(page, FORGETFUL)
    assert "/login/" in page.url, "the old password opened the admin"
    give_password(page, (FORGETFUL[0], NEW_PASSWORD))
    page.wait_for_url(re.compile("/admin/account/2fa/$"))
    page.context.clear_cookies()
    page.goto(link.group())
    look(page, "link-used-up")
    expect(page.locator("body")).to_contain_text("再設定をやり直す")


def test_a_passkey_signs_in(strict_visit: Opener) -> None:
    page = strict_visit(PHONE)
    give_password(page, FRIEND)
    page.wait_for_url(re.compile("/admin/account/2fa/$"))
    keys = page.context.new_cdp_session(page)
    keys.send("WebAuthn.enable")
    authenticator = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    keys.send("WebAuthn.addVirtualAuthenticator", {"options": authenticator})
    page.goto("/admin/account/2fa/webauthn/add/")
    look(page, "new-passkey")
    page.locator("input[name=passwordless]").check()
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url(re.compile("/recovery-codes/"))
    page.goto("/admin/account/2fa/webauthn/")
    look(page, "passkeys")
    page.context.clear_cookies()
    page.goto("/admin/login/")
    page.locator("#passkey_login").click()
    page.wait_for_url(re.compile("/admin/$"))
    expect(page.locator(".today-tiles")).to_be_visible()
