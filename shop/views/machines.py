"""What search engines ask for: robots.txt and the sitemap."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.sitemaps import Sitemap
from django.contrib.sitemaps.views import sitemap as render_sitemap
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from shop.models import Category, ContentPage, Product

HIDDEN_VIEWS = ("search", "cart", "checkout", "admin:index")  # nothing there is for search engines
CACHE_CONTROL = "public, max-age=3600"


if TYPE_CHECKING:  # Django's classes are generic for type checkers only
    AnySitemap = Sitemap[Any]
else:
    AnySitemap = Sitemap


class ShopSitemap(AnySitemap):
    """Pages of the shop in both languages, each with its alternates, under the shop's address."""

    i18n = alternates = x_default = True

    def get_protocol(self, protocol: str | None = None) -> str:
        """Return the scheme of the shop's address."""
        return settings.STOREFRONT_BASE_URL.partition("://")[0]

    def get_domain(self, site: Any = None) -> str:
        """Return the host of the shop's address, whichever one was asked."""
        return settings.STOREFRONT_BASE_URL.partition("://")[2]


class FixedPages(ShopSitemap):
    """Pages that are always there."""

    def items(self) -> Sequence[str]:
        """Return the names of views."""
        return ["home", "product_list", "contact"]

    def location(self, item: str) -> str:
        """Return the path of a view in the active language."""
        return reverse(item)


class SlugPages(ShopSitemap):
    """Pages of rows that have a slug."""

    def __init__(self, view: str, rows: Any) -> None:
        super().__init__()
        self.view, self.rows = view, rows

    def items(self) -> Sequence[str]:
        """Return the slugs; one query."""
        return list(self.rows.order_by("pk").values_list("slug", flat=True))

    def location(self, item: str) -> str:
        """Return the path of a row's page in the active language."""
        return reverse(self.view, args=[item])


@require_safe
def sitemap(request: HttpRequest) -> HttpResponse:
    """Return the sitemap of the products on sale, categories and content pages."""
    sections: dict[str, Any] = {
        "fixed": FixedPages(),
        "categories": SlugPages("category", Category.objects.all()),
        "products": SlugPages("product", Product.objects.filter(status=Product.Status.ACTIVE)),
        "pages": SlugPages("page", ContentPage.objects.all()),
    }
    response: HttpResponse = render_sitemap(request, sections).render()
    del response["X-Robots-Tag"]
    response["Cache-Control"] = CACHE_CONTROL
    return response


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Return robots.txt: everything but what belongs to one customer or to staff."""
    hidden = [reverse(view) for view in HIDDEN_VIEWS]
    lines = [
        "User-agent: *",
        *(f"Disallow: {prefix}{path}" for prefix in ("", "/en") for path in (*hidden, "/orders/")),
        "",
        f"Sitemap: {settings.STOREFRONT_BASE_URL}/sitemap.xml",
        "",
    ]
    response = HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = CACHE_CONTROL
    return response
