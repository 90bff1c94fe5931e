"""The page store: the same responses as without it, and never an outdated one."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from kikaku.days import business_day
from ledger.models import StockItem
from ledger.sales import stock
from ledger.testing import company
from shop.models import Category, ContentPage, Picture, Product, Specification, Variant
from shop.pages import store, version
from shop.pages.store import Page, PageCache, PageKey, PageStore
from shop.testing import build
from shop.testing.wsgi import CountingApplication, Response, ask

# On PostgreSQL the version changes at the COMMIT, so these tests need real ones.
pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)  # Friday 12:00 in Japan
STORED_PATHS = [
    "/",
    "/en/",
    "/products/",
    "/products/?light=warm&price=c&stock=1&sort=price",
    "/categories/ceiling-lights/",
    "/products/madoka/",
    "/en/products/madoka/",
    "/pages/tokushoho/",
]
UNSTORED_PATHS = [
    "/search/?q=まどか",
    "/products/?q=まどか",
    "/cart/",
    "/contact/",
    "/contact/sent/",
    "/nowhere/",
    "/products/none/",
    "/products/?page=99",
    "/products",
    "/ja/products/",
    "/admin/",
    "/health",
    "/webhooks/stripe",
]


class Shop:
    """A page store around Django's application, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOON
        self.django = CountingApplication(get_wsgi_application())
        self.store = PageStore(self.django, clock=lambda: self.now)

    def ask(self, address: str, method: str = "GET", **headers: str) -> Response:
        """Send a request."""
        return ask(self.store, address, method, **headers)

    def rendered(self, *addresses: str, method: str = "GET") -> int:
        """Request each URL; return how many requests reached Django."""
        before = self.django.requests
        for address in addresses:
            self.ask(address, method)
        return self.django.requests - before


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Return a small shop with two products."""
    for place, slug in enumerate(["madoka", "masu"]):
        made = build.product(slug, kelvin=2_700, lumens=4_200, position=place, on_hand=20)
        build.variant(made, f"{slug}-2", kelvin=5_000, on_hand=20, option_ja="昼白色")
    build.content_page()
    yield Shop()


def test_a_page_is_rendered_once_and_then_costs_one_query(shop: Shop) -> None:
    for path in (
        "/",
        "/en/",
    ):  # a process reads the navigation of each language once, and checks the triggers
        shop.ask(path)
    Variant.objects.update(price=F("price") + 1)
    for path in STORED_PATHS:
        with CaptureQueriesContext(connection) as cold:
            first = shop.ask(path)
        with CaptureQueriesContext(connection) as warm:
            assert shop.rendered(path) == 0
        assert first.status == 200
        assert len(warm) == 1
        if path not in (
            "/",
            "/en/",
        ):
            assert len(cold) <= 3, path
        assert shop.ask(path) == first


def test_the_store_answers_as_django_does(shop: Shop) -> None:
    for path in [*STORED_PATHS, *UNSTORED_PATHS]:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            plain = ask(get_wsgi_application(), path, method)
            for _twice in range(2):
                stored = shop.ask(path, method)
                assert stored.status == plain.status, (method, path)
                if method != "HEAD" and path != "/contact/":  # its form has a nonce
                    assert stored.body == plain.body, (method, path)
                if path in STORED_PATHS and method == "GET":
                    assert stored.headers == {**plain.headers, "etag": stored.tag, "vary": "Accept-Encoding"}
                    assert stored.headers["content-length"] == str(len(stored.body))
                    assert stored.headers["content-security-policy"]


def test_other_requests_go_to_django_each_time(shop: Shop) -> None:
    for path in UNSTORED_PATHS:
        assert shop.rendered(path, path, path) == 3, path
    assert shop.rendered("/products/madoka/", "/products/madoka/", method="POST") == 2
    assert len(shop.store.pages_without_query) + len(shop.store.list_pages) == 0


def test_a_page_is_compressed_if_the_client_accepts_gzip_and_head_gets_its_headers(shop: Shop) -> None:
    plain = shop.ask("/products/madoka/")
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br, GZIP;q=0.5", "deflate,x-gzip , br", "gzip; q=1.0"):
        compressed = shop.ask("/products/madoka/", ACCEPT_ENCODING=accepted)
        assert compressed.headers["content-encoding"] == "gzip", accepted
        assert compressed.headers["content-length"] == str(len(compressed.body))
        assert compressed.page == plain.page and len(compressed.body) < len(plain.body) / 2
    for refused in ("gzip;q=0", "gzip;q=0.0, *", "identity", "br", "notgzip", ""):
        assert shop.ask("/products/madoka/", ACCEPT_ENCODING=refused) == plain, refused
    head = shop.ask("/products/madoka/", "HEAD", ACCEPT_ENCODING="gzip")
    assert (head.status, head.headers, head.body) == (200, compressed.headers, b"")
    cold = Shop().ask("/products/madoka/", "HEAD", ACCEPT_ENCODING="gzip")
    assert (cold.headers, cold.body) == (compressed.headers, b"")
    assert plain.headers["vary"] == "Accept-Encoding"
    assert shop.ask("/products/madoka/", RANGE="bytes=0-9") == plain


def test_a_client_that_has_the_page_gets_a_304_even_where_it_was_never_rendered(shop: Shop) -> None:
    first = shop.ask("/products/madoka/", ACCEPT_ENCODING="gzip")
    other = Shop()
    for sent in (first.tag, first.tag.removeprefix("W/"), f'"x", {first.tag}'):
        answer = other.ask("/products/madoka/?utm_source=x", IF_NONE_MATCH=sent)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.tag == first.tag
        assert answer.headers["cache-control"] == first.headers["cache-control"]
    assert other.django.requests == 0
    assert other.ask("/en/products/madoka/", IF_NONE_MATCH=first.tag).status == 200
    assert other.ask("/products/none/", IF_NONE_MATCH=first.tag).status == 404
    Variant.objects.filter(sku="SKU-madoka").update(price=9_990)
    changed = other.ask("/products/madoka/", IF_NONE_MATCH=first.tag)
    assert changed.status == 200 and "¥9,990" in changed.page


def by_sql(statement: str) -> None:
    """Run SQL as from a database console."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def by_staff() -> None:
    """Change a title in the admin."""
    client = Client()
    client.force_login(User.objects.create_superuser("staff"))
    made = Category.objects.get()
    values = {"slug": made.slug, "name_ja": "管理画面の名前", "name_en": "Named by staff", "position": 0}
    assert client.post(f"/admin/shop/category/{made.pk}/change/", values).status_code == 302


def test_every_change_is_on_the_next_page(shop: Shop) -> None:
    first = Variant.objects.get(sku="SKU-madoka")
    changes: dict[str, tuple[str, Callable[[], object]]] = {
        "¥9,990": ("/products/madoka/", lambda: Variant.objects.filter(pk=first.pk).update(price=9_990)),
        "¥9,980": (
            "/products/",
            lambda: by_sql(f"UPDATE shop_variant SET price = 9980 WHERE id = {first.pk}"),
        ),
        "¥9,970": ("/", lambda: Variant.objects.bulk_update([Variant(pk=first.pk, price=9_970)], ["price"])),
        "管理画面の名前": ("/pages/tokushoho/", by_staff),  # its name is in the navigation of every page
        "another.svg": ("/products/madoka/", lambda: Picture.objects.update(file="products/another.svg")),
        "9.9 kg": ("/products/masu/", lambda: Specification.objects.update(value_ja="9.9 kg")),
        "二つ目の文章": (
            "/pages/tokushoho/",
            lambda: ContentPage.objects.update(body_ja="<p>二つ目の文章</p>"),
        ),
        "残り 3 点": ("/products/madoka/", lambda: stock.reserve({first.stock_id: 17})),
        "残り 2 点": ("/products/madoka/", lambda: stock.reserve({first.stock_id: 1})),
        "売り切れ": ("/products/madoka/", lambda: stock.reserve({first.stock_id: 2})),
        "販売を終了": (
            "/products/madoka/",
            lambda: Product.objects.filter(slug="madoka").update(status="archived"),
        ),
    }
    for text, (path, change) in changes.items():
        before = shop.ask(path)
        assert text not in before.page
        change()
        after = shop.ask(path)
        assert text in after.page, text
        assert after.tag != before.tag
        assert shop.ask(path) == after
    assert "売り切れ" not in shop.ask("/products/masu/").page


def test_the_reduced_rate_is_off_the_next_page_of_a_shop_that_becomes_exempt(shop: Shop) -> None:
    Variant.objects.update(tax_class="reduced")
    before = shop.ask("/products/masu/")
    assert "（軽減税率）" in before.page
    company.enter(from_day=business_day(timezone.now()), **company.EXEMPT)
    assert "（軽減税率）" not in shop.ask("/products/masu/").page
    assert shop.rendered("/products/masu/") == 0


def test_changes_that_no_page_shows_and_rollbacks_keep_stored_pages(shop: Shop) -> None:
    for path in STORED_PATHS:
        shop.ask(path)
    item = StockItem.objects.get(sku="SKU-madoka")
    stock.reserve({item.pk: 3})
    with transaction.atomic():
        Variant.objects.update(price=F("price") + 1)
        transaction.set_rollback(True)
    assert shop.rendered(*STORED_PATHS) == 0


def test_a_page_is_rendered_again_when_its_delivery_day_changes(shop: Shop) -> None:
    def renders_after(**step: int) -> int:
        shop.now += timedelta(**step)
        return shop.rendered("/products/madoka/")

    assert renders_after(hours=0) == 1
    assert renders_after(hours=2, minutes=59) == 0
    assert renders_after(minutes=1) == 1  # 15:00 in Japan: from now on orders leave on the next shipping day
    assert renders_after(hours=8) == 0
    assert renders_after(hours=1) == 1  # midnight in Japan


def test_nothing_that_a_visitor_sends_gets_into_a_stored_page(shop: Shop) -> None:
    clean = Shop()
    staff = Client()
    staff.force_login(User.objects.create_superuser("staff"))
    poison = {
        "COOKIE": f"sessionid={staff.cookies['sessionid'].value}; django_language=en; cart=POISON",
        "HOST": "localhost:666",
        "ACCEPT_LANGUAGE": "en",
        "X_FORWARDED_HOST": "poison.example",
        "X_FORWARDED_PROTO": "https",
        "X_FORWARDED_FOR": "POISON",
        "AUTHORIZATION": "POISON",
        "USER_AGENT": "<script>POISON",
        "REFERER": "http://poison.example/",
        "ORIGIN": "http://poison.example",
        "IF_NONE_MATCH": '*, "POISON", W/"',
        "IF_MODIFIED_SINCE": "POISON",
        "X_HTTP_METHOD_OVERRIDE": "POST",
    }
    for path in STORED_PATHS:
        mark = "&" if "?" in path else "?"
        for url in (f"{path}{mark}utm=POISON&utm=2", f"{path}{mark}%00%FF=<POISON>"):
            answer = shop.ask(url, **poison)
            assert "POISON" not in answer.page + str(answer.headers)
            assert answer == shop.ask(path) == clean.ask(path)
    assert {name for name in shop.django.last_environ if name.startswith("HTTP_")} == {"HTTP_HOST"}
    assert shop.django.last_environ["HTTP_HOST"] != "localhost:666"


def test_an_unknown_host_is_refused_as_django_refuses_it(shop: Shop) -> None:
    shop.ask("/products/madoka/")
    for host in ("poison.example", "testserver:x", "", "testserver@poison.example"):
        assert shop.ask("/products/madoka/", HOST=host).status == 400
        assert shop.ask("/", "HEAD", HOST=host).status == 400


def test_unknown_parameters_and_another_order_of_parameters_share_a_page(shop: Shop) -> None:
    for number in range(30):
        rendered = shop.rendered(
            f"/products/madoka/?gclid={number}",
            f"/products/?light=warm&price=c&page=1&x={number}",
            f"/products/?x={number}&page=01&price=c&&light=blue&light=warm&category=",
            f"/categories/ceiling-lights/?category=x{number}&stock=yes",
        )
        assert rendered == (0 if number else 3)
    assert 'href="/en/products/?light=warm"' in shop.ask("/products/?light=warm&x=1").page


def test_a_page_that_opens_with_a_variant_is_a_page_of_its_own(shop: Shop) -> None:
    paths = (
        "/products/madoka/?sku=X-1",
        "/products/madoka/?gclid=1&sku=X-1",
        "/products/madoka/?sku=%3Cx%3E",
    )
    assert shop.rendered(*paths) == 2
    assert shop.rendered(*paths) == 0


def test_too_long_or_too_many_parameters_go_to_django(shop: Shop) -> None:
    for query in ("light=" + "x" * 2_000, "&".join(["a=1"] * 2_000)):
        plain = ask(get_wsgi_application(), f"/products/?{query}")
        assert shop.ask(f"/products/?{query}") == plain


def test_the_cache_is_bounded_and_evicts_the_least_recently_used_page() -> None:
    cache = PageCache(10 * (store.PAGE_OVERHEAD + 100))
    for number in range(50):
        cache.put(PageKey(f"/{number}", ""), Page("t", (), b"x" * 100))
        assert cache.get(PageKey("/0", "")) is not None
    assert len(cache) == 10 and cache.size == cache.limit
    assert cache.get(PageKey("/49", "")) is not None and cache.get(PageKey("/39", "")) is None
    cache.put(PageKey("/49", ""), Page("t", (), b"x" * 50))
    assert cache.size == cache.limit - 50
    cache.put(PageKey("/big", ""), Page("t", (), b"x" * 10**6))
    assert (len(cache), cache.size) == (0, 0)


def test_requests_for_many_lists_evict_no_other_page(shop: Shop) -> None:
    shop.store.list_pages.limit = 3 * (store.PAGE_OVERHEAD + 4_000)
    shop.ask("/")
    for number in range(12):
        assert shop.ask(f"/products/?category=none-{number}").status == 200
    assert shop.store.list_pages.size <= shop.store.list_pages.limit
    assert shop.rendered("/") == 0


def test_another_release_has_other_etags(shop: Shop, settings: Settings) -> None:
    before = shop.ask("/")
    assert Shop().ask("/").tag == before.tag
    settings.STOREFRONT_BASE_URL = "http://127.0.0.1:9"
    assert Shop().ask("/").tag != before.tag


def test_without_a_version_every_request_goes_to_django(shop: Shop) -> None:
    shop.ask("/")
    try:
        by_sql(f"DELETE FROM {version.TABLE}")
        assert shop.rendered("/", "/") == 2
        assert "etag" not in shop.ask("/").headers
        by_sql(f"DROP TABLE {version.TABLE}")
        assert shop.ask("/").status == 200
        assert shop.ask("/pages/tokushoho/").status == 200
    finally:
        with connection.schema_editor() as editor:
            version.install(editor)
    assert shop.rendered("/", "/") == 1


def test_without_its_triggers_the_store_keeps_no_page_and_logs_it(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    name, (table, _sql) = next(iter(version.triggers(connection).items()))
    try:
        by_sql(f"DROP TRIGGER {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))
        assert shop.rendered("/", "/", "/") == 3
        assert [record.getMessage() for record in caplog.records if name in record.getMessage()]
    finally:
        with connection.schema_editor() as editor:
            version.install(editor)
    assert Shop().ask("/").headers["etag"]


def test_a_lost_connection_is_reopened(shop: Shop) -> None:
    shop.ask("/")
    connection.close()
    assert shop.rendered("/") == 0
    if connection.vendor == "postgresql":  # the server restarts: Django does not know yet
        with connection.copy().cursor() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert [shop.ask("/").status for _ in range(3)] == [200, 200, 200]
        assert shop.rendered("/") == 0


def test_threads_share_pages_and_never_get_an_outdated_one(shop: Shop) -> None:
    wrong: list[object] = []
    price = [12_800]
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                least = price[0]
                page = shop.ask("/products/madoka/", ACCEPT_ENCODING="gzip").page
                shown = int(page.split('class="of o1 first">', 1)[1].split("¥", 1)[1][:6].replace(",", ""))
                if shown < least:
                    wrong.append((shown, least))
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for step in range(1, 25):
        Variant.objects.filter(sku="SKU-madoka").update(price=12_800 + step)
        price[0] = 12_800 + step
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
