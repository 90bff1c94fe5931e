"""What is edited on a product's page: its variants, pictures and specifications."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline, TabularInline

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
        label=gettext_lazy("initial stock"), min_value=0, max_value=999_999, required=False
    )

    class Meta:
        model = Variant
        fields = (
            "sku",
            "option_ja",
            "option_en",
            "price",
            "compare_at_price",
            "tax_rate",
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
                    ("tax_rate", "position"),
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
    """A picture; a new file is checked."""

    class Meta:
        model = Picture
        fields = ("file", "variant", "alt_ja", "alt_en", "position")

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


class PictureInline(TabularInline):
    """The pictures of a product."""

    model = Picture
    form = PictureForm
    formset = FreshFormSet
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only the variants of this product."""
        if db_field.name == "variant":
            match = request.resolver_match
            product = match.kwargs.get("object_id") if match else None
            kwargs["queryset"] = (
                Variant.objects.filter(product_id=product) if product else Variant.objects.none()
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class SpecificationInline(TabularInline):
    """The rows of the specification table."""

    model = Specification
    formset = FreshFormSet
    extra = 0
