"""The demo shop that is measured, and the number of queries of its pages. Needs Django set up."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any
from urllib.parse import quote, urlencode

from django.core.management import call_command
from django.db import connection
from django.db.models import Count, F
from django.test import RequestFactory
from django.urls import reverse

from bench.report import Figure
from shop.listing import PAGE_SIZE
from shop.models import Product, Variant

SEARCH_WORD = "ライト"
MAX_QUERIES_RENDERED, MAX_QUERIES_STORED = 3, 1  # queries at most


@dataclass(frozen=True)
class Goods:
    """The URLs that are requested."""

    sku: str
    product: str
    list: str
    search: str
    add: str
    form: bytes  # of the button "add to cart"

    @classmethod
    def find(cls) -> "Goods":
        """Return the product with most variants on the first list page; load the demo if there is none."""
        if not Product.objects.exists():
            call_command("demo", stdout=StringIO())
        first = Product.objects.filter(status=Product.Status.ACTIVE).order_by("position", "id")[:PAGE_SIZE]
        product = (
            Product.objects.filter(pk__in=first.values("pk"))
            .annotate(choices=Count("variants"))
            .order_by("-choices", "position")[0]
        )
        variants = Variant.objects.filter(product=product, compare_at_price=None, stock__on_hand__gt=0)
        sku = variants.order_by("position", "id")[0].sku
        return cls(
            sku=sku,
            product=reverse("product", args=[product.slug]),
            list=reverse("product_list"),
            search=f"{reverse('search')}?q={quote(SEARCH_WORD)}",
            add=reverse("cart_add"),
            form=urlencode({"sku": sku, "quantity": "1"}).encode(),
        )

    def change_price(self) -> None:
        """Raise the price of a variant, which outdates the stored page of its product and of lists."""
        Variant.objects.filter(sku=self.sku).update(price=F("price") + 1)


def queries(goods: Goods) -> Iterator[Figure]:
    """Yield the number of queries of each page, rendered and stored, in this process."""
    from bench.shop import door

    def count(environ: Any) -> int:
        """Return the number of queries of a request."""
        statements = 0

        def counted(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal statements
            statements += 1
            return execute(*arguments)

        def ignore(status: str, headers: Any, error: Any = None, /) -> Callable[[bytes], object]:
            return bytes

        with connection.execute_wrapper(counted):
            answer = door.application(dict(environ), ignore)
            b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()
        return statements

    pages = {"product page": goods.product, "list page": goods.list, "home page": reverse("home")}
    factory = RequestFactory(HTTP_HOST="127.0.0.1")
    for name, path in pages.items():
        environ = factory.get(path).environ
        count(environ)  # warms up: some queries run once in a process
        goods.change_price()
        yield Figure(f"{name}, after a price changed", count(environ), "queries", MAX_QUERIES_RENDERED)
        yield Figure(f"{name}, stored", count(environ), "queries", MAX_QUERIES_STORED)
    yield Figure("search", count(factory.get(goods.search).environ), "queries", MAX_QUERIES_RENDERED)
    post = factory.post(goods.add, goods.form, content_type="application/x-www-form-urlencoded").environ
    yield Figure("add to cart", count(post), "queries", MAX_QUERIES_STORED)
