"""Shipping in the admin: orders to ship, addresses, packing slips, and the link to the next parcel."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import Order
from ledger.models.orders import OrderStatus
from ledger.testing import build

pytestmark = pytest.mark.django_db

LIST = "admin:ledger_order_changelist"


@pytest.fixture
def clerk(client: Client) -> Client:
    """Return a client of a user who may view and change orders."""
    user = User.objects.create_user("sato", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_order", "ship_order"]))
    client.force_login(user)
    return client


def paid(sandbox: Sandbox, sku: str = "A", *, later: int = 0, **how: Any) -> Order:
    """Return an order of two pieces, paid `later` minutes after now."""
    order = build.paid_order(sandbox, [build.line(sku, quantity=2, title=f"Lamp {sku}")], **how)
    assert order.paid_at
    Order.objects.filter(pk=order.pk).update(paid_at=order.paid_at + timedelta(minutes=later))
    order.refresh_from_db()
    return order


def page(client: Client, order: Order, action: str = "change") -> str:
    """Return the page of an order, or of one of its actions."""
    address = reverse("admin:ledger_order_change", args=[order.pk]).replace("change/", f"{action}/")
    return client.get(address, follow=True).content.decode()


def ship(client: Client, order: Order, **typed: str) -> str:
    """Send the shipping form as it is filled in, and return the page that follows."""
    address = reverse("admin:ledger_order_ship", args=[order.pk])
    form = client.get(address).content.decode()
    nonce = re.search(r'name="nonce" value="([^"]+)"', form)
    assert nonce
    line = order.lines.get()
    data = {
        "nonce": nonce[1],
        f"line_{line.pk}": "2",
        "carrier": "ヤマト運輸",
        "tracking_number": "4000-0000-0013",
        "shipped_on": str(timezone.localdate()),
    }
    return client.post(address, {**data, **typed}, follow=True).content.decode()


def slips(client: Client, *orders: Order) -> Any:
    """Return the packing slips of orders chosen in the list."""
    chosen = [str(order.pk) for order in orders]
    return client.post(reverse(LIST), {"action": "print_slips", "_selected_action": chosen}, follow=True)


def test_the_list_of_orders_to_ship_holds_no_others_and_begins_with_the_first_paid(
    clerk: Client, sandbox: Sandbox
) -> None:
    second = paid(sandbox, later=9)
    first = paid(sandbox, later=3)
    unpaid = build.order([build.line("A")])
    shipped = paid(sandbox)
    build.ship(shipped)
    content = clerk.get(reverse(LIST), {"todo": "ship"}).content.decode()
    assert content.index(first.number) < content.index(second.number)
    assert unpaid.number not in content and shipped.number not in content
    awaited = clerk.get(reverse(LIST), {"todo": "pay"}).content.decode()
    assert unpaid.number in awaited and first.number not in awaited
    everything = clerk.get(reverse(LIST)).content.decode()
    assert re.search(r'todo=ship">\s*出荷待ち\s*<span>2</span>', everything)
    assert re.search(r'todo=pay">\s*支払い待ち\s*<span>1</span>', everything)


def test_the_list_shows_contents_and_recipients_in_few_queries(
    clerk: Client, sandbox: Sandbox, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    lines = [build.line("A", quantity=2, title="Lamp A"), build.line("B"), build.line("C")]
    for _order in range(8):
        build.order(lines, prefecture="沖縄県", city="那覇市")
    with django_assert_max_num_queries(11):
        content = clerk.get(reverse(LIST)).content.decode()
    assert content.count("Lamp A × 2 ほか 2 点") == 8
    assert content.count("沖縄県那覇市") == 8


def test_an_order_is_found_by_phone_sku_and_tracking_number(clerk: Client, sandbox: Sandbox) -> None:
    order, other = paid(sandbox, "PN-60", phone="098-111-2222"), paid(sandbox, "TL-5M")
    build.ship(order)
    for query in ("098-111-2222", "1234-5678-9012", "pn-60"):
        content = clerk.get(reverse(LIST), {"q": query}).content.decode()
        assert order.number in content and other.number not in content, query


def test_the_page_shows_the_parcel_first_and_the_records_last(clerk: Client, sandbox: Sandbox) -> None:
    order = paid(sandbox, building="見本ハイツ 204", note="置き配をお願いします")
    build.fetch(sandbox)
    content = page(clerk, order)
    places = [
        content.index(text)
        for text in ("様</strong>", "置き配", "Lamp A", "出荷待ち 2 個", order.email, "経過")
    ]
    assert places.index(max(places)) == len(places) - 1
    assert max(places[:3]) < places[4]
    address = re.search(r"<address>(.*?)</address>", content, re.S)
    assert address
    written = [line.strip() for line in re.sub(r"<br>", "\n", address[1]).split("\n") if line.strip()]
    assert written[0] == f"〒{order.postal_code}"
    assert written[1] == f"{order.prefecture}{order.city}{order.street}"
    assert written[2] == "見本ハイツ 204"
    assert order.name in written[3]


def test_a_packer_sees_no_records_of_the_money(clerk: Client, sandbox: Sandbox) -> None:
    order = paid(sandbox)
    build.fetch(sandbox)
    ship(clerk, order)
    content = page(clerk, order)
    for text in ("pi_", "cs_test_", "仕訳", "4110"):
        assert text not in content, text


def test_the_shipping_page_shows_the_address_and_the_note(clerk: Client, sandbox: Sandbox) -> None:
    order = paid(sandbox, note="置き配をお願いします")
    content = page(clerk, order, "ship")
    assert f"〒{order.postal_code}" in content and "置き配をお願いします" in content


def test_after_shipping_the_next_order_is_linked(clerk: Client, sandbox: Sandbox) -> None:
    first, second, third = (paid(sandbox, later=minute) for minute in (1, 2, 3))
    answer = ship(clerk, first)
    assert reverse("admin:ledger_order_ship", args=[second.pk]) in answer
    assert "残り 2 件" in answer and second.number in answer
    ship(clerk, second)
    assert "出荷待ちの注文はほかにありません" in ship(clerk, third)
    assert not Order.objects.exclude(status=OrderStatus.SHIPPED).exists()


def test_the_carrier_of_the_users_last_parcel_is_filled_in(clerk: Client, sandbox: Sandbox) -> None:
    first, second, third = (paid(sandbox) for _order in range(3))
    build.ship(first)  # by another user
    assert '<option value="ヤマト運輸" selected' not in page(clerk, second, "ship")
    ship(clerk, second, carrier="日本郵便")
    assert '<option value="日本郵便" selected' in page(clerk, third, "ship")
    ship(clerk, third, carrier="other", other_carrier="西濃運輸")
    fourth = page(clerk, paid(sandbox), "ship")
    assert '<option value="other" selected' in fourth and 'value="西濃運輸"' in fourth


def test_packing_slips_hold_the_pieces_to_ship_of_the_chosen_orders(clerk: Client, sandbox: Sandbox) -> None:
    first, second = paid(sandbox, "A", note="割れ物です"), paid(sandbox, "B", later=5)
    build.ship(second, {second.lines.get().pk: 1})
    unpaid = build.order([build.line("A")])
    answer = slips(clerk, second, first, unpaid)
    content = answer.content.decode()
    assert content.index(first.number) < content.index(second.number)
    assert unpaid.number not in content and "1 件は未入金または発送済みのため除きました" in content
    assert re.findall(r'<td class="pieces">(\d+)</td>', content) == [
        "2",
        "2",
        "1",
        "1",
    ]  # line and sum of each sheet
    assert "割れ物です" in content and f"〒{first.postal_code}" in content
    assert (
        "¥" not in content and first.token not in content
    )  # the slip lies in the parcel: no amounts, no token
    assert "no-store" in answer["Cache-Control"]


def test_packing_slips_take_no_query_per_order(
    clerk: Client, sandbox: Sandbox, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    orders = [paid(sandbox) for _order in range(6)]
    with django_assert_max_num_queries(9):
        assert slips(clerk, *orders).content.decode().count("<article") == 6


def test_a_packing_slip_is_in_the_language_of_its_order(clerk: Client, sandbox: Sandbox) -> None:
    content = slips(clerk, paid(sandbox), paid(sandbox, language="en")).content.decode()
    assert "<h1>納品書</h1>" in content and "<h1>Packing slip</h1>" in content


def test_an_order_with_nothing_to_ship_has_no_packing_slip(clerk: Client, sandbox: Sandbox) -> None:
    unpaid = build.order([build.line("A")])
    assert "選択した注文に出荷待ちのものはありません" in slips(clerk, unpaid).content.decode()
    assert "この注文に出荷待ちの商品はありません" in page(clerk, unpaid, "slip")
    assert "/slip/" not in page(clerk, unpaid)


def test_packing_slips_require_the_permission_to_view_orders(client: Client, sandbox: Sandbox) -> None:
    order = paid(sandbox)
    client.force_login(User.objects.create_user("nobody", password="x", is_staff=True))
    assert slips(client, order).status_code == 403
    assert client.get(reverse("admin:ledger_order_slip", args=[order.pk])).status_code == 403


def test_a_shipping_form_that_is_reopened_after_the_parcel_left_redirects_with_a_message(
    clerk: Client, sandbox: Sandbox
) -> None:
    order = paid(sandbox)
    ship(clerk, order)
    assert "この注文に出荷待ちの商品はありません" in page(clerk, order, "ship")
    late = {"nonce": "of-a-colleague", f"line_{order.lines.get().pk}": "2", "carrier": "ヤマト運輸"}
    answer = clerk.post(reverse("admin:ledger_order_ship", args=[order.pk]), late, follow=True)
    assert "この注文に出荷待ちの商品はありません" in answer.content.decode()
    assert order.shipments.count() == 1


def test_the_list_of_orders_to_ship_says_in_japanese_what_their_packer_needs(
    clerk: Client, sandbox: Sandbox
) -> None:
    english = build.line(
        "A", quantity=3, title="Ceiling light (daylight)", title_ja="シーリングライト（昼白色）"
    )
    order = build.paid_order(
        sandbox,
        [english, build.line("B", title="LED 電球")],
        language="en",
        city="Shibuya-ku",
        street="Jingumae 1",
        note="玄関前に\n置いてください",
    )
    build.ship(order, {order.lines.get(sku="A").pk: 1})
    for number in range(44):
        paid(sandbox, later=number + 1)
    content = clerk.get(reverse(LIST), {"todo": "ship"}).content.decode()
    table = content.split('id="result_list"', 1)[1].split("</table>", 1)[0]
    assert table.count("field-to_pack") == 45  # all on one page
    assert "シーリングライト（昼白色）\u00a0×\u00a02、LED 電球\u00a0×\u00a01" in table
    assert "Ceiling light" not in table
    assert "東京都 Shibuya-ku" in table
    assert "分納の残り、ご要望：玄関前に 置いてください" in table
    for empty in ("field-counter", "field-state", "field-amount"):
        assert empty not in table
    assert "シーリングライト（昼白色）" in page(clerk, order, "ship")
    slip = slips(clerk, order).content.decode()
    assert "Ceiling light (daylight)" in slip and "シーリングライト（昼白色）" in slip


def test_staff_read_the_titles_of_an_english_order_in_japanese(
    admin_client: Client, sandbox: Sandbox
) -> None:
    lamp = build.line("A", quantity=2, title="Ceiling light", title_ja="シーリングライト")
    order = build.paid_order(sandbox, [lamp], language="en")
    line = order.lines.get()
    parcel = build.ship(order, {line.pk: 1})
    refund = reverse("admin:ledger_order_refund", args=[order.pk])
    choice = {"nonce": "n", "what": "pieces", f"cancel_{line.pk}": "1", f"line_{line.pk}": "2"}
    preview = admin_client.post(refund, choice).content.decode()
    assert "シーリングライト × 1" in preview
    refused = admin_client.post(
        reverse("admin:ledger_order_ship", args=[order.pk]), choice | {"carrier": "ヤマト運輸"}
    )
    assert refused.status_code == 422
    pages = [
        page(admin_client, order),
        preview,
        refused.content.decode(),
        admin_client.get(reverse("admin:ledger_shipment_change", args=[parcel.pk])).content.decode(),
    ]
    for content in pages:
        assert "シーリングライト" in content and "Ceiling light" not in content
