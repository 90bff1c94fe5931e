"""What is edited on a product's page: its variants, pictures and specifications."""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline, TabularInline
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from ledger.models import OrderLine, StockItem, StockMovement
from shop.models import Picture, Specification, Variant
from shop.uploads import encode_picture

if TYPE_CHECKING:  # Django's classes are generic for type checkers only
    VariantModelForm = forms.ModelForm[Variant]
    PictureModelForm = forms.ModelForm[Picture]
    InlineFormSet = BaseInlineFormSet[Any, Any, Any]
else:
    VariantModelForm = PictureModelForm = forms.ModelForm
    InlineFormSet = BaseInlineFormSet

TYPED_SKU = re.compile(r"variants-\d+-sku")
DELETED_VARIANT = re.compile(r"variants-\d+-DELETE")


class FreshFormSet(InlineFormSet):
    """Rows of a product that are saved only if none was added or deleted since the page was opened."""

    def clean(self) -> None:
        """Refuse a page that is older than the last save, such as the second of two clicks."""
        super().clean()
        if self.initial_form_count() != self.get_queryset().count():
            raise forms.ValidationError(
                _("This product was saved meanwhile, perhaps by a second click. Please open the page again.")
            )


def has_history() -> Q:
    """Return the condition that a variant has orders or stock movements: it is retired, never deleted."""
    item = OuterRef("stock")
    return Q(Exists(OrderLine.objects.filter(item=item)) | Exists(StockMovement.objects.filter(item=item)))


class VariantForm(VariantModelForm):
    """A variant; a new one can be saved with its initial stock."""

    initial_stock = forms.IntegerField(
        label=gettext_lazy("initial stock"),
        min_value=0,
        max_value=999_999,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,  # a declared field has no style of unfold by itself
    )

    class Meta:
        model = Variant
        fields = (
            "sku",
            "option_ja",
            "option_en",
            "price",
            "compare_at_price",
            "tax_class",
            "kelvin",
            "lumens",
            "position",
            "retired",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["initial_stock"].disabled = True
            self.fields["initial_stock"].help_text = _(
                "For new variants; later receipts belong to the stock item."
            )
            if getattr(self.instance, "sold", False):
                self.fields["sku"].disabled = True
                self.fields["sku"].help_text = _("Sold already: the SKU stays.")

    def clean_sku(self) -> str:
        """Refuse a SKU whose stock item belongs to another variant."""
        sku: str = self.cleaned_data["sku"].strip()
        taken = StockItem.objects.filter(sku=sku).exclude(pk=self.instance.stock_id)
        if taken.filter(Q(variant__isnull=False) | Q(reserved__gt=0)).exists():
            raise forms.ValidationError(_("This SKU is taken."))
        return sku

    def clean_compare_at_price(self) -> int | None:
        """Refuse a compare-at price that violates the database constraint, with a message at the field."""
        before: int | None = self.cleaned_data["compare_at_price"]
        price = self.cleaned_data.get("price")
        if before is not None and price is not None and before <= price:
            raise forms.ValidationError(_("The compare-at price must be above the price."))
        return before


class VariantInline(StackedInline):
    """The variants of a product."""

    model = Variant
    form = VariantForm
    formset = FreshFormSet
    extra = 0
    readonly_fields = ("stock_now",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "sku",
                    ("option_ja", "option_en"),
                    ("price", "compare_at_price"),
                    ("tax_class", "position"),
                    ("kelvin", "lumens"),
                    ("stock_now", "initial_stock"),
                    "retired",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Variant]:
        """Return the variants with their stock and whether they were ever sold."""
        found: QuerySet[Variant] = super().get_queryset(request)
        return found.select_related("stock").annotate(
            sold=Exists(OrderLine.objects.filter(item=OuterRef("stock")))
        )

    @admin.display(description=gettext_lazy("stock"))
    def stock_now(self, variant: Variant) -> str:
        """Return how many pieces are available and reserved."""
        if not variant.pk:
            return "–"
        values = {"available": variant.stock.available, "reserved": variant.stock.reserved}
        return _("%(available)d available, %(reserved)d reserved") % values


class PictureForm(PictureModelForm):
    """A picture; a new file is checked. Its variant is named by the SKU, so that it may be a new one."""

    variant_sku = forms.CharField(
        label=gettext_lazy("variant"), required=False, widget=UnfoldAdminSelectWidget, max_length=64
    )
    known_skus: Collection[str] = ()  # of the product's variants, those of the same page included

    class Meta:
        model = Picture
        fields = ("file", "alt_ja", "alt_en", "position")

    def clean_variant_sku(self) -> str:
        """Refuse a SKU that no variant of the product has."""
        sku: str = self.cleaned_data["variant_sku"]
        if sku and sku not in self.known_skus:
            raise forms.ValidationError(_("No variant of this product has this SKU."))
        return sku

    def clean_file(self) -> Any:
        """Encode a new upload in the sizes that pages need, under a random name."""
        file = self.cleaned_data["file"]
        if not isinstance(file, UploadedFile):
            return file
        picture = encode_picture(file)
        row = self.instance
        row.width, row.height, row.sizes, row.raster = picture.width, picture.height, picture.sizes, ""
        row.encoded = picture.webp
        return SimpleUploadedFile(picture.name, picture.jpeg, "image/jpeg")


class PictureFormSet(FreshFormSet):
    """The pictures of a product, each with a choice of its variants: one query for all of them."""

    @cached_property
    def variants(self) -> list[Variant]:
        """Return the product's variants before this page is saved."""
        return list(self.instance.variants.all()) if self.instance.pk else []

    @cached_property
    def skus(self) -> dict[str, str]:
        """Return {SKU to choose: what is shown of it}, with those that were typed on this page."""
        found = {variant.sku: f"{variant.sku} {variant.option_ja}".strip() for variant in self.variants}
        for name, value in self.data.items():
            if TYPED_SKU.fullmatch(name) and value.strip():
                found.setdefault(value.strip(), value.strip())
        return found

    def add_fields(self, form: Any, index: int | None) -> None:
        """Offer the variants."""
        super().add_fields(form, index)
        form.known_skus = self.skus
        field = form.fields["variant_sku"]
        field.widget.choices = [("", "–"), *self.skus.items()]
        chosen = form.instance.variant_id
        field.initial = next((variant.sku for variant in self.variants if variant.pk == chosen), "")

    def assign_variants(self) -> None:
        """Give each picture its variant, after the variants were saved; one query if that may change any."""
        may_change = any("variant_sku" in form.changed_data for form in self.forms)
        if not may_change and not any(map(DELETED_VARIANT.fullmatch, self.data)):
            return
        saved = {variant.pk: variant for variant in self.instance.variants.all()}
        by_sku = {variant.sku: saved.get(variant.pk) for variant in self.variants}  # the page showed these
        by_sku |= {variant.sku: variant for variant in saved.values()}
        for form in self.forms:
            if "variant_sku" in form.changed_data:
                form.instance.variant = by_sku.get(form.cleaned_data["variant_sku"])
            elif form.instance.variant_id not in saved:
                form.instance.variant = None  # deleted on this page


class PictureInline(TabularInline):
    """The pictures of a product."""

    model = Picture
    form = PictureForm
    formset = PictureFormSet
    extra = 0
    fields = ("thumbnail", "file", "variant_sku", "alt_ja", "alt_en", "position")
    readonly_fields = ("thumbnail",)

    @admin.display(description=gettext_lazy("preview"))
    def thumbnail(self, picture: Picture) -> str:
        """Return the picture, small."""
        if not picture.file:
            return "–"
        return format_html(
            '<img src="{}" alt="{}" width="72" height="72" loading="lazy" class="thumbnail">',
            picture.file.url,
            picture.alt_ja,
        )


class SpecificationInline(TabularInline):
    """The rows of the specification table."""

    model = Specification
    formset = FreshFormSet
    extra = 0
