"""The catalogue and the shop's content pages, in Japanese and English."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.validators import (
    FileExtensionValidator,
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from kikaku.days import business_day
from kikaku.money import MAX_UNIT_PRICE
from ledger.models.tax import TaxClass
from shop.renaming import RenameableModel, RenameableQuerySet
from shop.sanitise import sanitise
from shop.search_index import IndexedQuerySet, PartOfProduct


def in_language(japanese: str, english: str) -> str:
    """Return the text in the active language; Japanese if the English text is empty."""
    return english if english and get_language() == "en" else japanese


def text_chooser() -> Callable[[str, str], str]:
    """Return `in_language` for many texts: it looks up the active language only once."""
    if get_language() == "en":
        return lambda japanese, english: english or japanese
    return lambda japanese, english: japanese


class CategoryQuerySet(RenameableQuerySet["Category"], IndexedQuerySet["Category"]):  # type: ignore[override]
    """Categories: part of what the search reads, with a page of their own."""


class Category(RenameableModel):
    """A category of products, shown on the home page as a room."""

    slug = models.SlugField(_("slug"), unique=True)
    name_ja = models.CharField(_("name (Japanese)"), max_length=60)
    name_en = models.CharField(_("name (English)"), max_length=60)
    room_ja = models.CharField(_("room (Japanese)"), max_length=60, blank=True)
    room_en = models.CharField(_("room (English)"), max_length=60, blank=True)
    description_ja = models.TextField(_("description (Japanese)"), blank=True)
    description_en = models.TextField(_("description (English)"), blank=True)
    keywords = models.CharField(
        _("search words"),
        max_length=200,
        blank=True,
        help_text=_("other names, for all products of the category; shown nowhere"),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    objects = CategoryQuerySet.as_manager()

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name_ja

    @property
    def name(self) -> str:
        """Return the name in the active language."""
        return in_language(self.name_ja, self.name_en)

    @property
    def room(self) -> str:
        """Return the room in the active language."""
        return in_language(self.room_ja, self.room_en)

    @property
    def description(self) -> str:
        """Return the description in the active language."""
        return in_language(self.description_ja, self.description_en)


class ProductQuerySet(RenameableQuerySet["Product"], IndexedQuerySet["Product"]):  # type: ignore[override]
    """Products: what the search reads, with a page of their own."""


class Product(RenameableModel):
    """A product with a page of its own; what is sold is its `Variant`s."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        ACTIVE = "active", pgettext_lazy("product", "active")
        ARCHIVED = "archived", _("archived")

    category = models.ForeignKey(
        Category, models.PROTECT, related_name="products", verbose_name=_("category")
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.DRAFT)
    slug = models.SlugField(_("slug"), max_length=100, unique=True)
    title_ja = models.CharField(_("title (Japanese)"), max_length=120)
    title_en = models.CharField(_("title (English)"), max_length=120, blank=True)
    lead_spec_ja = models.CharField(_("decisive specification (Japanese)"), max_length=80, blank=True)
    lead_spec_en = models.CharField(_("decisive specification (English)"), max_length=80, blank=True)
    description_ja = models.TextField(_("description (Japanese)"), blank=True)
    description_en = models.TextField(_("description (English)"), blank=True)
    keywords = models.CharField(
        _("search words"),
        max_length=200,
        blank=True,
        help_text=_("readings and other names; shown nowhere"),
    )
    featured = models.PositiveSmallIntegerField(
        _("place on the home page"), null=True, blank=True, help_text=_("empty: not shown there")
    )
    position = models.PositiveIntegerField(_("position"), default=0)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    search_text = models.TextField(default="", editable=False)  # `shop.search_index` keeps it

    objects = ProductQuerySet.as_manager()

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["status", "category", "position"], name="product_shelf")]

    def __str__(self) -> str:
        return self.title_ja

    @property
    def title(self) -> str:
        """Return the title in the active language."""
        return in_language(self.title_ja, self.title_en)


class Specification(PartOfProduct):
    """A row of the specification table."""

    product = models.ForeignKey(
        Product, models.CASCADE, related_name="specifications", verbose_name=_("product")
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    name_ja = models.CharField(_("name (Japanese)"), max_length=60)
    name_en = models.CharField(_("name (English)"), max_length=60, blank=True)
    value_ja = models.CharField(_("value (Japanese)"), max_length=200)
    value_en = models.CharField(_("value (English)"), max_length=200, blank=True)

    objects = IndexedQuerySet["Specification"].as_manager()

    class Meta:
        verbose_name = _("specification")
        verbose_name_plural = _("specifications")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return f"{self.name_ja}: {self.value_ja}"


class VariantQuerySet(IndexedQuerySet["Variant"]):
    """Questions about variants that many places ask."""

    def on_sale(self) -> "VariantQuerySet":
        """Return the variants that are not retired."""
        return self.filter(retired=False)


class Variant(PartOfProduct):
    """A SKU with its price (JPY, tax included)."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="variants", verbose_name=_("product"))
    stock = models.OneToOneField(
        "ledger.StockItem",
        models.PROTECT,
        related_name="variant",
        editable=False,
        verbose_name=_("stock item"),
    )
    sku = models.CharField(_("SKU"), max_length=64, unique=True)
    option_ja = models.CharField(_("option (Japanese)"), max_length=60, blank=True)
    option_en = models.CharField(_("option (English)"), max_length=60, blank=True)
    price = models.PositiveIntegerField(
        _("price"),
        validators=[MinValueValidator(1), MaxValueValidator(MAX_UNIT_PRICE)],
        help_text=_("JPY, tax included"),
    )
    compare_at_price = models.PositiveIntegerField(
        _("compare-at price"), null=True, blank=True, validators=[MaxValueValidator(MAX_UNIT_PRICE)]
    )
    tax_class = models.CharField(
        _("tax class"), max_length=10, choices=TaxClass.choices, default=TaxClass.STANDARD
    )
    kelvin = models.PositiveSmallIntegerField(
        _("colour temperature (K)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1000), MaxValueValidator(10000)],
    )
    lumens = models.PositiveIntegerField(_("luminous flux (lm)"), null=True, blank=True)
    retired = models.BooleanField(
        _("no longer sold"), default=False, help_text=_("kept for its orders and stock, shown nowhere")
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    objects = VariantQuerySet.as_manager()

    class Meta:
        verbose_name = _("variant")
        verbose_name_plural = _("variants")
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(tax_class__in=TaxClass.values), name="variant_tax_class_known"
            ),
            models.CheckConstraint(condition=Q(price__gte=1), name="variant_price_positive"),
            models.CheckConstraint(
                condition=Q(compare_at_price__isnull=True) | Q(compare_at_price__gt=F("price")),
                name="variant_compare_at_above_price",
                violation_error_message=_("The compare-at price must be above the price."),
            ),
        ]

    def __str__(self) -> str:
        return self.sku


class Picture(models.Model):
    """A picture of a product, or of one of its variants."""

    encoded: Mapping[int, bytes] = MappingProxyType({})  # width (px) → WebP file, until it is saved

    product = models.ForeignKey(Product, models.CASCADE, related_name="pictures", verbose_name=_("product"))
    # empty: shown for every variant
    variant = models.ForeignKey(
        Variant, models.CASCADE, related_name="pictures", null=True, blank=True, verbose_name=_("variant")
    )
    file = models.FileField(
        _("file"),
        upload_to="products/",
        validators=[FileExtensionValidator(["jpg", "jpeg", "png", "webp", "avif", "svg"])],
    )
    # the widths (px) of the WebP files beside it, separated by blanks: products/x.jpg has products/x-400.webp
    sizes = models.CharField(max_length=60, blank=True, editable=False)
    # the JPEG of a drawing, for shared links and search engines; empty: the file itself
    raster = models.CharField(max_length=100, blank=True, editable=False)
    width = models.PositiveIntegerField(_("width"), default=1200, editable=False)
    height = models.PositiveIntegerField(_("height"), default=1200, editable=False)
    alt_ja = models.CharField(_("alternative text (Japanese)"), max_length=200)
    alt_en = models.CharField(_("alternative text (English)"), max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("picture")
        verbose_name_plural = _("pictures")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.alt_ja

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row with its file, and the files of the other sizes first if it was just encoded."""
        for width, content in self.encoded.items():
            default_storage.save(size_name(f"products/{self.file.name}", width), ContentFile(content))
        self.encoded = {}
        super().save(*args, **kwargs)


def size_name(name: str, width: int) -> str:
    """Return the name of the file of another width beside a picture."""
    return f"{name.rpartition('.')[0]}-{width}.webp"


class ContentPageQuerySet(RenameableQuerySet["ContentPage"]):
    """Content pages, with an address of their own."""


class ContentPage(RenameableModel):
    """A page that staff write: 特商法, privacy, terms, returns."""

    slug = models.SlugField(_("slug"), unique=True)
    title_ja = models.CharField(_("title (Japanese)"), max_length=100)
    title_en = models.CharField(_("title (English)"), max_length=100, blank=True)
    body_ja = models.TextField(_("text (Japanese, HTML)"))
    body_en = models.TextField(_("text (English, HTML)"), blank=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    objects = ContentPageQuerySet.as_manager()

    class Meta:
        verbose_name = _("content page")
        verbose_name_plural = _("content pages")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title_ja

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with sanitised HTML."""
        self.body_ja, self.body_en = sanitise(self.body_ja), sanitise(self.body_en)
        super().save(*args, **kwargs)

    @property
    def title(self) -> str:
        """Return the title in the active language."""
        return in_language(self.title_ja, self.title_en)

    @property
    def body(self) -> str:
        """Return the sanitised HTML in the active language."""
        return in_language(self.body_ja, self.body_en)


class Redirect(models.Model):
    """An address that a page had; it leads to the one that the page has now."""

    class Kind(models.TextChoices):
        PRODUCT = "product", _("product")
        CATEGORY = "category", _("category")
        CONTENT_PAGE = "contentpage", _("content page")

    kind = models.CharField(_("kind of page"), max_length=12, choices=Kind.choices)
    old = models.SlugField(_("old slug"), max_length=100)
    new = models.SlugField(_("new slug"), max_length=100)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("redirect")
        verbose_name_plural = _("redirects")
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "old"], name="redirect_once")]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class SearchSynonym(models.Model):
    """Words that mean the same: a product with one of them is found by each of the others."""

    words = models.CharField(
        _("words of one meaning"),
        max_length=300,
        unique=True,
        validators=[RegexValidator(r"\S\s+\S", _("Please write at least two words, with a blank between."))],
        help_text=_("separated by blanks, such as 照明 ライト ランプ"),
    )

    objects = IndexedQuerySet["SearchSynonym"].as_manager()

    class Meta:
        verbose_name = _("synonyms of the search")
        verbose_name_plural = _("synonyms of the search")
        ordering = ["words"]

    def __str__(self) -> str:
        return self.words


class ContactMessage(models.Model):
    """A message from the contact form."""

    name = models.CharField(_("name"), max_length=100)
    email = models.EmailField(_("e-mail"))
    order_number = models.CharField(_("order number"), max_length=20, blank=True)
    # the one on whose page the customer clicked "Ask about this product"
    product = models.ForeignKey(
        Product,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="messages",
        verbose_name=_("product asked about"),
    )
    language = models.CharField(_("language"), max_length=2, default="ja")
    message = models.TextField(_("message"), max_length=5000)
    # of the form: two clicks are one message
    nonce = models.CharField(max_length=64, unique=True, editable=False)
    received_at = models.DateTimeField(_("received at"))
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)

    class Meta:
        verbose_name = _("message from a customer")
        verbose_name_plural = _("messages from customers")
        ordering = ["-received_at"]

    def __str__(self) -> str:
        return f"{self.name} {business_day(self.received_at)}"
