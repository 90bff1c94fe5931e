"""Which pages of the admin a role may open: every address, every role, customers and nobody."""

import functools

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from ops.people import roles

pytestmark = pytest.mark.django_db

# addresses for who is not signed in yet, and those that end or begin a session
ENTRANCE = {
    "admin:login",
    "admin:logout",
    "account_login",
    "account_logout",
    "account_inactive",
    "admin_password_reset",
    "staff_password_reset_sent",
    "staff_password_reset_confirm",
    "staff_password_reset_complete",
    "mfa_authenticate",  # only between password and second factor
    "mfa_login_webauthn",
}


LOGINS = ("/admin/login/", "/admin/account/login/")  # the second leads to the first


@functools.cache
def addresses() -> dict[str, str]:
    """Return every address below /admin/ by the name of its view, with example arguments."""
    found: dict[str, str] = {}

    def walk(patterns: list[URLPattern | URLResolver], prefix: str, route: str) -> None:
        for one in patterns:
            here = route + str(one.pattern)
            if isinstance(one, URLResolver):
                name = f"{prefix}{one.namespace}:" if one.namespace else prefix
                walk(one.url_patterns, name, here)
            elif one.name and here.lstrip("/^").startswith("admin/"):
                arguments = {name: "1" for name in one.pattern.converters}
                arguments |= {name: "auth" for name in ("app_label",) if name in one.pattern.regex.groupindex}
                try:
                    found[f"{prefix}{one.name}"] = reverse(f"{prefix}{one.name}", kwargs=arguments)
                except NoReverseMatch:
                    found[f"{prefix}{one.name}"] = reverse(f"{prefix}{one.name}", args=["1"])

    walk(get_resolver().url_patterns, "", "")
    return found


def closed() -> dict[str, str]:
    return {name: path for name, path in addresses().items() if name not in ENTRANCE}


def test_the_addresses_are_found() -> None:
    names = set(addresses())
    assert {"admin:ledger_order_ship", "admin:auth_user_change", "mfa_index", "staff_sign_ins"} <= names
    assert len(names) > 150
    assert names >= ENTRANCE


@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_and_a_customer_reach_no_page_of_staff(client: Client, method: str) -> None:
    customer = User.objects.create_user("customer", "hanako@example.jp", "x")
    customer.groups.add(Group.objects.get(name=roles.OWNER))  # rights alone make no staff
    signed_in = Client()
    signed_in.force_login(customer)
    reached = {
        (who, name): answer.status_code
        for name, path in closed().items()
        for who, browser in (("nobody", client), ("customer", signed_in))
        if (answer := getattr(browser, method)(path)).status_code not in (403, 404, 405)
        and not (answer.status_code == 302 and answer["Location"].startswith(LOGINS))
    }
    # Django's own translations of texts, for scripts; no fact of the shop
    assert {name for _who, name in reached} <= {"admin:jsi18n", "admin:view_on_site"}, reached


def _rights_of(name: str) -> set[str]:
    """Return the permissions of which one is needed to open a page of a model's admin by GET."""
    for model, page in admin.site._registry.items():
        opts = page.opts
        prefix = f"admin:{opts.app_label}_{opts.model_name}_"
        if name.startswith(prefix):
            end = name.removeprefix(prefix)
            label = opts.app_label
            if end == "add":
                return {f"{label}.add_{model._meta.model_name}"}
            if end == "delete":
                return {f"{label}.delete_{model._meta.model_name}"}
            if end in ("changelist", "change", "history"):
                return {f"{label}.{act}_{model._meta.model_name}" for act in ("view", "change")}
            return set()
    return set()


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_opens_the_pages_of_its_rights_and_no_other(client: Client, role: str) -> None:
    user = User.objects.create_user("member", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    held = roles.permissions_of(role)
    wrong: dict[str, int] = {}
    for name, path in closed().items():
        needed = _rights_of(name)
        if not needed:
            continue
        status = client.get(path).status_code
        if name.endswith("_changelist"):
            wrong |= {} if (status == 200) == bool(needed & held) else {name: status}
        elif not needed & held and status not in (403, 404, 302):
            wrong[name] = status
    assert wrong == {}


ACTS = {
    "admin:ledger_order_ship": "ledger.ship_order",
    "admin:ledger_shipment_correct": "ledger.ship_order",
    "admin:ledger_order_refund": "ledger.refund_order",
    "admin:ledger_order_keep": "ledger.refund_order",
    "admin:ledger_order_cancel": "ledger.cancel_order",
    "admin:ledger_discrepancy_resolve": "ledger.resolve_discrepancy",
    "admin:ledger_stockitem_receive": "ledger.change_stockitem",
    "admin:ledger_stockitem_count": "ledger.change_stockitem",
    "admin:ledger_outgoingmail_send_again": "ledger.change_outgoingmail",
    "admin:auth_user_reset_two_factor": "",
    "admin:auth_user_sign_out_everywhere": "",
    "admin:ledger_journalentry_journal_csv": "ledger.export_books",
    "admin:ledger_journalentry_ledgers_csv": "ledger.export_books",
    "admin:ledger_order_open_balances_csv": "ledger.export_books",
}


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_acts_only_by_its_own_permissions(client: Client, role: str) -> None:
    user = User.objects.create_user("member", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    held = roles.permissions_of(role)
    allowed = {name for name in ACTS if client.get(addresses()[name]).status_code != 403}
    assert allowed == {name for name, right in ACTS.items() if right in held}
