"""The catalogue, the texts and the customers' messages in the admin."""

import logging
from typing import TYPE_CHECKING, Any

from auditlog.registry import auditlog
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponseRedirect, UnreadablePostError
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, StackedInline, TabularInline

from kikaku.admin.resubmission import look_again, repeat_on_conflict
from kikaku.transactions import isolated_transaction, unit_of_work
from ledger.models import OrderLine, StockItem, StockMovement
from ledger.sales import stock
from shop.models import (
    Category,
    ContactMessage,
    ContentPage,
    Picture,
    Product,
    Specification,
    Variant,
)
from shop.uploads import measure

logger = logging.getLogger(__name__)

for audited in (Category, Product, Variant, ContentPage):
    auditlog.register(audited)  # who changed what


if TYPE_CHECKING:  # Django's classes take their model in brackets for the type checker alone
    VariantModelForm = forms.ModelForm[Variant]
    PictureModelForm = forms.ModelForm[Picture]
    InlineFormSet = BaseInlineFormSet[Any, Any, Any]
else:
    VariantModelForm = PictureModelForm = forms.ModelForm
    InlineFormSet = BaseInlineFormSet


class EditableAdmin(ModelAdmin):  # type: ignore[misc]
    """What staff write or delete, perhaps two of them at once."""

    @look_again
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show or save the form."""
        return super().changeform_view(request, *args, **kwargs)

    @repeat_on_conflict
    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Ask, then delete."""
        return super().delete_view(request, *args, **kwargs)


class FreshFormSet(InlineFormSet):
    """Rows below a product, as they stood when the page was opened: a second click adds none twice."""

    def clean(self) -> None:
        """Refuse a page that somebody's saving has overtaken."""
        super().clean()
        if self.initial_form_count() != self.get_queryset().count():
            raise forms.ValidationError(
                _("This product was saved meanwhile, perhaps by a second click. Please open the page again.")
            )


def in_use() -> Q:
    """Find variants that orders or movements of stock know: they are retired, never deleted."""
    item = OuterRef("stock")
    return Q(Exists(OrderLine.objects.filter(item=item)) | Exists(StockMovement.objects.filter(item=item)))


class VariantForm(VariantModelForm):
    """A variant; a new one may come with the pieces that lie on the shelf already."""

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
        """Refuse a SKU that stock of another variant carries."""
        sku: str = self.cleaned_data["sku"].strip()
        taken = StockItem.objects.filter(sku=sku).exclude(pk=self.instance.stock_id)
        if taken.filter(Q(variant__isnull=False) | Q(reserved__gt=0)).exists():
            raise forms.ValidationError(_("This SKU is taken."))
        return sku

    def clean_compare_at_price(self) -> int | None:
        """Say beside the field what the database would refuse."""
        before: int | None = self.cleaned_data["compare_at_price"]
        price = self.cleaned_data.get("price")
        if before is not None and price is not None and before <= price:
            raise forms.ValidationError(_("The compare-at price must be above the price."))
        return before


class VariantInline(StackedInline):  # type: ignore[misc]
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
        """Bring stock along, and whether a variant was ever sold."""
        found: QuerySet[Variant] = super().get_queryset(request)
        return found.select_related("stock").annotate(
            sold=Exists(OrderLine.objects.filter(item=OuterRef("stock")))
        )

    @admin.display(description=gettext_lazy("stock"))
    def stock_now(self, variant: Variant) -> str:
        """Say how many can be sold and how many are promised."""
        if not variant.pk:
            return "–"
        values = {"available": variant.stock.available, "reserved": variant.stock.reserved}
        return _("%(available)d available, %(reserved)d reserved") % values


class PictureForm(PictureModelForm):
    """A picture that was looked into."""

    class Meta:
        model = Picture
        fields = ("file", "variant", "alt_ja", "alt_en", "position")

    def clean_file(self) -> Any:
        """Measure a new upload and give it a name of ours."""
        file = self.cleaned_data["file"]
        if isinstance(file, UploadedFile):
            measured = measure(file)
            file.name = measured.name
            self.instance.width, self.instance.height = measured.width, measured.height
        return file


class PictureInline(TabularInline):  # type: ignore[misc]
    """The pictures of a product."""

    model = Picture
    form = PictureForm
    formset = FreshFormSet
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the variants of this product only."""
        if db_field.name == "variant":
            match = request.resolver_match
            product = match.kwargs.get("object_id") if match else None
            kwargs["queryset"] = (
                Variant.objects.filter(product_id=product) if product else Variant.objects.none()
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class SpecificationInline(TabularInline):  # type: ignore[misc]
    """The rows of the specification table."""

    model = Specification
    formset = FreshFormSet
    extra = 0


@admin.register(Product)
class ProductAdmin(EditableAdmin):
    """Products with everything that belongs to their page."""

    list_display = ("title_ja", "status", "category", "prices", "available", "featured", "position")
    list_filter = ("status", "category")
    list_select_related = ("category",)
    list_per_page = 50
    search_fields = ("title_ja", "title_en", "slug", "variants__sku")
    prepopulated_fields = {"slug": ("title_en",)}
    inlines = (VariantInline, PictureInline, SpecificationInline)
    actions = ("activate", "archive")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Product]:
        """Bring the range of prices and the stock along, without a query per row."""
        own = Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by().values("product")
        found: QuerySet[Product] = super().get_queryset(request)
        return found.annotate(
            lowest=Subquery(own.annotate(n=Min("price")).values("n")),
            highest=Subquery(own.annotate(n=Max("price")).values("n")),
            pieces=Subquery(own.annotate(n=Sum(F("stock__on_hand") - F("stock__reserved"))).values("n")),
        )

    @admin.display(description=gettext_lazy("price"), ordering="lowest")
    def prices(self, product: Any) -> str:
        """Write the range of prices."""
        if product.lowest is None:
            return "–"
        lowest = f"¥{product.lowest:,}"
        return lowest if product.lowest == product.highest else f"{lowest}–{product.highest:,}"

    @admin.display(description=gettext_lazy("available"), ordering="pieces")
    def available(self, product: Any) -> str:
        """Write how many pieces can be sold."""
        return f"{product.pieces:,}" if product.pieces is not None else "–"

    @admin.action(description=gettext_lazy("Show in the shop"), permissions=["change"])
    def activate(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Make products active; one without a variant has nothing to sell and stays."""
        sellable = Exists(Variant.objects.on_sale().filter(product=OuterRef("pk")))
        self._move(request, products.filter(sellable), Product.Status.ACTIVE)
        left = products.exclude(sellable).count()
        if left:
            text = ngettext("%d product has no variant.", "%d products have no variant.", left)
            self.message_user(request, text % left, messages.WARNING)

    @admin.action(description=gettext_lazy("Archive: no longer sold"), permissions=["change"])
    def archive(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Archive products: their pages say that they are no longer sold."""
        self._move(request, products, Product.Status.ARCHIVED)

    def _move(self, request: HttpRequest, products: QuerySet[Product], status: str) -> None:
        changed = set_status(products, status)
        text = ngettext("%d product was changed.", "%d products were changed.", changed)
        self.message_user(request, text % changed, messages.SUCCESS)

    def has_delete_permission(self, request: HttpRequest, obj: Product | None = None) -> bool:
        """Let only products go that no order and no movement of stock knows; the others are archived."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not Variant.objects.filter(in_use(), product=obj).exists()

    @repeat_on_conflict
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Show or save the form; of two clicks the second waits for the first and sees what it wrote.

        When a picture finds no room, nothing is saved, and the page says so.
        """
        if request.method != "POST":
            return super().changeform_view(request, object_id, *args, **kwargs)
        try:
            with isolated_transaction():
                if object_id is not None:
                    self._lock(request, object_id)
                return super().changeform_view(request, object_id, *args, **kwargs)
        except UnreadablePostError:
            raise
        except OSError as error:
            logger.exception("a picture could not be stored")
            reason = error.strerror or type(error).__name__
            text = _(
                "Nothing was saved: the picture could not be stored (%(reason)s). Please try again later."
            )
            self.message_user(request, text % {"reason": reason}, messages.ERROR)
            return HttpResponseRedirect(request.path)

    @repeat_on_conflict
    def delete_view(self, request: HttpRequest, object_id: str, *args: Any) -> Any:
        """Ask, then delete a product; lead back when a first click has done so."""
        if request.method != "POST":
            return super().delete_view(request, object_id, *args)
        with isolated_transaction():
            if self._lock(request, object_id):
                return super().delete_view(request, object_id, *args)
        return HttpResponseRedirect(reverse("admin:shop_product_changelist"))

    def _lock(self, request: HttpRequest, object_id: str) -> bool:
        """Lock a product until the transaction ends; False when there is none. (On D1 the second conflicts, and comes again.)"""
        product = self.get_object(request, unquote(object_id))
        return product is not None and bool(Product.objects.select_for_update().filter(pk=product.pk))

    def save_formset(
        self, request: HttpRequest, form: Any, formset: "BaseInlineFormSet[Any, Any, Any]", change: bool
    ) -> None:
        """Give each new variant its stock item; retire instead of deleting what orders or stock know."""
        if formset.model is not Variant:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for variant in formset.deleted_objects:
            if Variant.objects.filter(in_use(), pk=variant.pk).exists():
                variant.retired = True
                variant.save(update_fields=["retired"])
                text = _("%(sku)s has orders or stock: it is no longer sold, but was not deleted.")
                self.message_user(request, text % {"sku": variant.sku}, messages.WARNING)
            else:
                item = variant.stock
                variant.delete()
                item.delete()
        for variant, fields in formset.changed_objects:
            if "sku" in fields:
                StockItem.objects.filter(pk=variant.stock_id).update(sku=variant.sku)
            variant.save()
        added = {id(one.instance): one for one in formset.forms}
        for variant in formset.new_objects:
            add_variant(
                variant,
                initial_stock=added[id(variant)].cleaned_data.get("initial_stock") or 0,
                user=request.user,
            )
        formset.save_m2m()


@unit_of_work
def set_status(products: QuerySet[Product], status: str) -> int:
    """Move products to a status; returns how many were not there. What the audit log can not take is not changed."""
    changed = 0
    for product in products.exclude(status=status):
        product.status = status
        product.save(update_fields=["status"])  # one by one: the audit log takes each
        changed += 1
    return changed


def add_variant(variant: Variant, *, initial_stock: int, user: AbstractBaseUser | Any) -> None:
    """Save a new variant with its stock item, and receive the pieces that are there already."""
    item, _created = StockItem.objects.get_or_create(sku=variant.sku)
    variant.stock = item
    variant.save()
    if initial_stock:
        stock.receive(
            item,
            initial_stock,
            source=f"variant:{variant.pk}",
            actor=user.get_username(),
            now=timezone.now(),
            note="initial stock",
        )


@admin.register(Category)
class CategoryAdmin(EditableAdmin):
    """The shelves of the shop."""

    list_display = ("name_ja", "room_ja", "slug", "position", "products")
    prepopulated_fields = {"slug": ("name_en",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        """Count the products along the way."""
        found: QuerySet[Category] = super().get_queryset(request)
        return found.annotate(count=Count("products"))

    @admin.display(description=gettext_lazy("products"), ordering="count")
    def products(self, category: Any) -> int:
        """Say how many products stand on the shelf."""
        count: int = category.count
        return count


@admin.register(ContentPage)
class ContentPageAdmin(EditableAdmin):
    """The texts; their HTML is cleaned when it is saved."""

    list_display = ("title_ja", "slug", "updated_at")
    prepopulated_fields = {"slug": ("title_en",)}
    readonly_fields = ("updated_at",)


class AnsweredFilter(admin.SimpleListFilter):
    """Open or answered."""

    title = gettext_lazy("answered")
    parameter_name = "answered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the two states."""
        return [("no", _("open")), ("yes", _("answered"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages in the chosen state."""
        if self.value() in ("yes", "no"):
            return queryset.filter(answered_at__isnull=self.value() == "no")
        return queryset


@admin.register(ContactMessage)
class ContactMessageAdmin(EditableAdmin):
    """What visitors wrote: to be read and marked as answered, never changed."""

    list_display = ("name", "email", "order_number", "received_at", "answered_at")
    list_filter = (AnsweredFilter,)
    search_fields = ("name", "email", "order_number", "message")
    readonly_fields = ("name", "email", "order_number", "message", "received_at", "answered_at")
    actions = ("mark_answered",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes a customer's message by hand."""
        return False

    @admin.action(description=gettext_lazy("Mark as answered"), permissions=["change"])
    def mark_answered(self, request: HttpRequest, found: QuerySet[ContactMessage]) -> None:
        """Note that messages were answered; those that were before keep their time."""
        changed = found.filter(answered_at__isnull=True).update(answered_at=timezone.now())
        text = ngettext("%d message was marked.", "%d messages were marked.", changed)
        self.message_user(request, text % changed, messages.SUCCESS)
