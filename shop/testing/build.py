"""Builders for the shop's tests: products with stock, a filled cart, a typed address."""

from typing import Any

from django.test import Client
from django.utils import timezone

from ledger.models import StockItem
from ledger.sales import stock
from shop.models import Category, ContentPage, Picture, Product, Specification, Variant

TYPED_ADDRESS = {  # not normalised
    "family_name": "山田",
    "given_name": "花子",
    "family_name_kana": "やまだ",
    "given_name_kana": "ﾊﾅｺ",
    "postal_code": "１５０ー０００１",
    "prefecture": "東京都",
    "city": "渋谷区",
    "street": "神宮前１－２－３",
    "building": "ライトハイツ　４０５",
    "phone": "０３（００００）００００",
    "email": "hanako@example.jp",
    "note": "",
}


def category(slug: str = "ceiling-lights", **values: Any) -> Category:
    """Return the category with a slug, made if it is missing."""
    defaults = {"name_ja": "シーリングライト", "name_en": "Ceiling lights", "room_ja": "リビング", **values}
    return Category.objects.get_or_create(slug=slug, defaults=defaults)[0]


def variant(product: Product, sku: str, *, on_hand: int = 10, price: int = 12_800, **values: Any) -> Variant:
    """Add a variant with stock to a product."""
    item = StockItem.objects.create(sku=sku)
    if on_hand:
        stock.receive(item, on_hand, source="opening", actor="test", now=timezone.now())
    return Variant.objects.create(product=product, stock=item, sku=sku, price=price, **values)


def product(
    slug: str = "madoka",
    *,
    sku: str = "",
    status: str = Product.Status.ACTIVE,
    category_slug: str = "ceiling-lights",
    on_hand: int = 10,
    price: int = 12_800,
    title: str = "シーリングライト まどか",
    picture: bool = True,
    position: int = 0,
    **values: Any,
) -> Product:
    """Create a product with one variant, a picture and a specification."""
    made = Product.objects.create(
        category=category(category_slug),
        slug=slug,
        status=status,
        title_ja=title,
        title_en=f"{slug} light",
        lead_spec_ja="8畳・調光・4,200lm",
        lead_spec_en="8 tatami, dimmable",
        description_ja="丸い主照明です。",
        description_en="A round ceiling light.",
        position=position,
    )
    variant(made, sku or f"SKU-{slug}", on_hand=on_hand, price=price, **values)
    if picture:
        Picture.objects.create(
            product=made, file=f"products/{slug}.svg", alt_ja="丸い灯り", alt_en="A round lamp"
        )
    Specification.objects.create(
        product=made, name_ja="質量", name_en="Weight", value_ja="1.4 kg", value_en="1.4 kg"
    )
    return made


def content_page(
    slug: str = "tokushoho", title: str = "特定商取引法に基づく表記", body: str = "<p>販売者</p>"
) -> ContentPage:
    """Create a content page."""
    return ContentPage.objects.create(
        slug=slug, title_ja=title, title_en=slug, body_ja=body, body_en="<p>Seller</p>"
    )


def fill_cart(client: Client, *wanted: tuple[str, int]) -> None:
    """Add (SKU, quantity) pairs to a customer's cart."""
    for sku, quantity in wanted:
        answer = client.post("/cart/add/", {"sku": sku, "quantity": str(quantity)})
        assert answer.status_code == 303, answer.content.decode()


def type_address(client: Client, **changes: str) -> None:
    """Submit the address form."""
    answer = client.post("/checkout/", TYPED_ADDRESS | changes)
    assert answer.status_code == 303, answer.content.decode()


def hidden(page: str, name: str) -> str:
    """Return the value of a hidden field."""
    return page.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]
