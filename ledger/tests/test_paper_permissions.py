"""Who may see the papers of the books and the pages beside them."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

pytestmark = pytest.mark.django_db

ENTRIES = "/admin/ledger/journalentry"
PERMISSION_OF = {
    **dict.fromkeys(
        (
            f"{ENTRIES}/journal/",
            f"{ENTRIES}/journal.csv",
            f"{ENTRIES}/trial-balance/",
            f"{ENTRIES}/trial-balance.csv",
            f"{ENTRIES}/ledger/4110/",
            f"{ENTRIES}/ledger/4110.csv",
            f"{ENTRIES}/ledgers.csv",
            f"{ENTRIES}/late/",
            f"{ENTRIES}/late.csv",
        ),
        "view_journalentry",
    ),
    "/admin/ledger/stockmovement/free-goods/": "view_stockmovement",
    "/admin/ledger/stockmovement/free-goods.csv": "view_stockmovement",
    "/admin/ledger/order/open-balances/": "view_order",
    "/admin/ledger/order/open-balances.csv": "view_order",
    "/admin/ledger/keptmoney/": "view_keptmoney",
    "/admin/ledger/taxstatus/": "view_taxstatus",
    "/admin/ledger/taxstatus/add/": "add_taxstatus",
}


@pytest.mark.parametrize("address", PERMISSION_OF)
def test_a_paper_is_for_staff_who_may_see_the_rows_it_is_made_of(client: Client, address: str) -> None:
    needed = Permission.objects.get(codename=PERMISSION_OF[address])
    anonymous = client.get(address)
    assert anonymous.status_code == 302 and anonymous["Location"].startswith("/admin/login/")

    clerk = User.objects.create_user("packer", is_staff=True)
    others = set(PERMISSION_OF.values()) - {needed.codename}
    clerk.user_permissions.set(Permission.objects.filter(codename__in=others))
    client.force_login(clerk)
    assert client.get(address).status_code == 403

    clerk.user_permissions.set([needed])
    is_file = address.endswith(".csv")
    assert client.get(address).status_code == (403 if is_file else 200)
    clerk.user_permissions.add(Permission.objects.get(codename="export_books"))
    assert client.get(address).status_code == 200
