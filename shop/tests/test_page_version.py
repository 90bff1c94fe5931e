"""The version of the public pages changes with everything that they show, and only then."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import F
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from kikaku.testing.database import examples
from kikaku.transactions import retry_on_conflict
from ledger.closing import verification
from ledger.models import DeliveryTime, StockItem
from ledger.sales import stock
from shop.catalogue import LOW_STOCK
from shop.models import Category, ContactMessage, ContentPage, Picture, Product, Specification, Variant
from shop.pages import version
from shop.testing import build

# On PostgreSQL the version changes at the COMMIT, so these tests need real ones.
pytestmark = pytest.mark.django_db(transaction=True)


def sql(statement: str) -> Callable[[], object]:
    """Return a function that runs SQL as from a database console."""

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return run


def test_every_change_of_a_page_changes_the_version() -> None:
    build.product(on_hand=10)
    build.content_page()
    changes: dict[str, Callable[[], object]] = {
        "a price, in bulk": lambda: Variant.objects.update(price=F("price") + 10),
        "a price, on the console": sql("UPDATE shop_variant SET price = price + 10"),
        "a product": lambda: Product.objects.get().save(),
        "another product": lambda: build.product("masu"),
        "many products": lambda: Product.objects.bulk_create(
            [Product(category=build.category(), slug=f"p{n}", title_ja="灯り") for n in range(3)]
        ),
        "a category": lambda: Category.objects.update(name_ja="天井の灯り"),
        "another category": lambda: build.category("desk-lights"),
        "a picture": lambda: Picture.objects.update(file="products/new.svg"),
        "one picture less": lambda: Picture.objects.all().delete(),
        "a specification": lambda: Specification.objects.update(value_ja="2 kg"),
        "a text": lambda: ContentPage.objects.update(body_ja="<p>二</p>"),
        "another text": lambda: build.content_page("terms"),
        "one text less, on the console": sql("DELETE FROM shop_contentpage"),
        "only few left": lambda: StockItem.objects.update(reserved=F("on_hand") - LOW_STOCK),
        "sold out": lambda: StockItem.objects.update(reserved=F("on_hand")),
        "a variant that is no longer sold": lambda: Variant.objects.update(retired=True),
        "days of delivery": lambda: DeliveryTime.objects.update(days=F("days") + 1),
        "one product less": lambda: Product.objects.filter(slug="madoka").delete(),
    }
    linked = {"a category", "another category", "a text", "another text", "one text less, on the console"}
    linked.add("days of delivery")
    versions = [version.current_version()]
    for name, change in changes.items():
        change()
        current = version.current_version()
        assert current.token not in {earlier.token for earlier in versions}, name
        assert (current.navigation != versions[-1].navigation) == (name in linked), name
        versions.append(current)


def test_changes_that_no_page_shows_keep_the_version() -> None:
    made = build.product(on_hand=20)
    item = StockItem.objects.get()
    before = version.current_version()
    stock.reserve({item.pk: 4})
    stock.commit(item.pk, 4, source="shipment:1", actor="test", now=timezone.now())
    stock.receive(item, 5, source="delivery:1", actor="test", now=timezone.now())
    ContactMessage.objects.create(name="山田", email="a@example.jp", message="?", received_at=timezone.now())
    assert version.current_version() == before
    assert Product.objects.get() == made


def test_orders_change_the_version_once_pages_count_the_pieces() -> None:
    build.product(on_hand=LOW_STOCK + 2)
    item = StockItem.objects.get()
    versions = [version.current_version()]
    for _piece in range(LOW_STOCK + 2):
        stock.reserve({item.pk: 1})
        versions.append(version.current_version())
    assert versions[0] == versions[1]
    assert len(set(versions)) == LOW_STOCK + 2
    stock.release({item.pk: 1})
    assert version.current_version() not in versions


def test_a_rollback_keeps_the_version() -> None:
    build.product()
    before = version.current_version()
    with transaction.atomic():
        Variant.objects.update(price=1)
        StockItem.objects.update(reserved=F("on_hand"))
        transaction.set_rollback(True)
    assert version.current_version() == before
    with transaction.atomic():
        with transaction.atomic():
            Variant.objects.update(price=1)
            transaction.set_rollback(True)
        Product.objects.update(title_ja="二代目")
    assert version.current_version() != before


STOCK_CHANGES = st.lists(st.integers(-3, 3), min_size=2, max_size=2)  # pieces of two variants, all at once


@budget(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(STOCK_CHANGES, min_size=3, max_size=3))
def test_a_page_does_not_change_without_a_new_version(moves: list[list[int]]) -> None:
    if not Product.objects.exists():
        build.variant(build.product(price=9_000), "SKU-2", price=12_000)
    items = StockItem.objects.order_by("pk").values_list("pk", flat=True)
    available = [LOW_STOCK + 1, LOW_STOCK]
    seen: dict[str, list[bytes]] = {}
    for move in moves:
        available = [max(0, pieces + step) for pieces, step in zip(available, move, strict=True)]
        with transaction.atomic():
            for item, pieces in zip(items, available, strict=True):
                StockItem.objects.filter(pk=item).update(on_hand=pieces + 2, reserved=2)
        pages = [Client().get(path).content for path in ("/products/madoka/", "/en/products/?stock=1")]
        assert seen.setdefault(version.current_version().token, pages) == pages


def test_concurrent_orders_and_edits_cause_no_deadlock() -> None:
    """Orders lock stock in the order of ids while staff change prices: no deadlock, no lost version."""
    for slug in ("madoka", "masu", "tsuru"):
        build.product(slug, on_hand=LOW_STOCK)
    ids = sorted(StockItem.objects.values_list("pk", flat=True))
    wrong: list[BaseException] = []
    start = threading.Barrier(6)

    @retry_on_conflict
    @transaction.atomic
    def take_a_turn(number: int, turn: int) -> None:
        if number < 4:
            chosen = {ids[(number + turn) % 3]: 1, ids[(number + turn + 1) % 3]: 1}
            stock.reserve(chosen)
            Category.objects.filter(pk=number).update(position=turn)
            stock.release(chosen)
        else:
            Variant.objects.filter(stock_id=ids[turn % 3]).update(price=1_000 + turn)
            StockItem.objects.filter(pk=ids[(turn + 1) % 3]).update(reserved=0)

    def act(number: int) -> None:
        try:
            start.wait()
            for turn in range(6):
                take_a_turn(number, turn)
        except stock.StockRefused:
            pass  # the other thread reset the reservation: not what is tested here
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    before = version.current_version()
    crowd = [threading.Thread(target=act, args=[number]) for number in range(6)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert wrong == []
    assert version.current_version() != before


def test_all_triggers_are_installed_after_all_migrations() -> None:
    """A migration that rebuilds one of the tables on SQLite must end with `shop.pages.version.install`."""
    assert version.broken_triggers(connection) == {}


def test_verify_books_names_a_missing_a_disabled_and_an_altered_trigger_of_the_pages() -> None:
    on_product, on_variant = "shop_product_shown_insert", "shop_variant_shown_update"
    statements = [
        f"DROP TRIGGER {on_variant}",
        f"DROP TRIGGER {on_product}",
        f"CREATE TRIGGER {on_product} AFTER INSERT ON shop_product BEGIN SELECT 1; END",
    ]
    expected = {on_product: "altered", on_variant: "missing"}
    if connection.vendor == "postgresql":
        call = "FOR EACH ROW EXECUTE FUNCTION shop_new_page_version()"
        statements = [
            "DROP TRIGGER shop_variant_shown ON shop_variant",
            "ALTER TABLE shop_picture DISABLE TRIGGER shop_picture_shown",
            "DROP TRIGGER shop_product_shown ON shop_product",
            f"CREATE TRIGGER shop_product_shown AFTER UPDATE ON shop_product {call}",
        ]
        expected = {
            "shop_picture_shown": "disabled",
            "shop_product_shown": "altered",
            "shop_variant_shown": "missing",
        }
    assert list(verification.verify()) == []
    try:
        for statement in statements:
            sql(statement)()
        assert version.broken_triggers(connection) == expected
        assert [str(finding) for finding in verification.verify()] == [
            f"trigger of the database: trigger {name}: expected in place, found {wrong}"
            for name, wrong in expected.items()
        ]
    finally:
        with connection.schema_editor() as editor:
            version.install(editor)
    assert version.broken_triggers(connection) == {}


def test_triggers_and_pages_count_pieces_up_to_the_same_number() -> None:
    """Another number needs a migration that calls `shop.pages.version.install`."""
    assert version.MAX_COUNTED_PIECES == LOW_STOCK


def test_the_migration_is_reversible() -> None:
    tables = connection.introspection.table_names
    try:
        MigrationExecutor(connection).migrate([("shop", "0001_initial")])
        assert version.TABLE not in tables()
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())  # others depend on the shop's
    assert version.broken_triggers(connection) == {}
