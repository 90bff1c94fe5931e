"""Products with everything that belongs to their page."""

import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponseRedirect, UnreadablePostError
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from kikaku.admin.editable import EditableAdmin
from kikaku.admin.resubmission import repeat_on_conflict
from kikaku.money import yen
from kikaku.transactions import isolated_transaction, unit_of_work
from ledger.models import StockItem
from ledger.sales import stock
from shop.admin.product_forms import (
    PictureFormSet,
    PictureInline,
    SpecificationInline,
    VariantInline,
    has_history,
)
from shop.filters import normalise_query
from shop.models import Product, Variant
from shop.search_index import contains_all, gathering
from shop.words import terms

if TYPE_CHECKING:
    from django.forms.models import BaseInlineFormSet

logger = logging.getLogger(__name__)


@admin.register(Product)
class ProductAdmin(EditableAdmin):
    """Products with everything that belongs to their page."""

    list_display = ("title_ja", "status", "category", "prices", "available", "featured", "position")
    list_filter = ("status", "category")
    list_select_related = ("category",)
    list_per_page = 50
    search_fields = ("search_text",)  # see `get_search_results`
    search_help_text = gettext_lazy("everything that is written about the product, and SKUs of its variants")
    prepopulated_fields = {"slug": ("title_en",)}
    inlines = (VariantInline, PictureInline, SpecificationInline)
    actions = ("activate", "archive")

    class Media:
        js = ("shop/product-form.js",)
        css = {"all": ("kikaku/admin.css",)}

    def view_on_site(self, product: Product) -> str | None:
        """Return the product's page in the shop; a draft has none."""
        return None if product.status == Product.Status.DRAFT else reverse("product", args=[product.slug])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Product]:
        """Return the products with their range of prices and their stock, without a query for each row."""
        own = Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by().values("product")
        found: QuerySet[Product] = super().get_queryset(request)
        return found.annotate(
            lowest=Subquery(own.annotate(n=Min("price")).values("n")),
            highest=Subquery(own.annotate(n=Max("price")).values("n")),
            pieces=Subquery(own.annotate(n=Sum(F("stock__on_hand") - F("stock__reserved"))).values("n")),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Product], search_term: str
    ) -> tuple[QuerySet[Product], bool]:
        """Return what the shop's search finds, and products with a SKU, retired ones too; each once."""
        if not search_term.strip():
            return queryset, False
        found = contains_all(terms(normalise_query(search_term)))
        sku = Variant.objects.filter(sku__icontains=search_term.strip()).values("product")
        return queryset.filter(found | Q(pk__in=sku)), False

    @admin.display(description=gettext_lazy("price"), ordering="lowest")
    def prices(self, product: Any) -> str:
        """Return the range of prices."""
        if product.lowest is None:
            return "–"
        lowest = yen(product.lowest)
        return lowest if product.lowest == product.highest else f"{lowest}–{product.highest:,}"

    @admin.display(description=gettext_lazy("available"), ordering="pieces")
    def available(self, product: Any) -> str:
        """Return how many pieces are available."""
        return f"{product.pieces:,}" if product.pieces is not None else "–"

    @admin.action(description=gettext_lazy("Show in the shop"), permissions=["change"])
    def activate(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Make products active, except those without a variant on sale."""
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
        """Allow only products without orders and stock movements; the others are archived."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not Variant.objects.filter(has_history(), product=obj).exists()

    @repeat_on_conflict
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Show or save the form; the second of two clicks waits for the first and sees its rows.

        If a picture cannot be stored, nothing is saved, and the page says so.
        """
        if request.method != "POST":
            return super().changeform_view(request, object_id, *args, **kwargs)
        try:
            with isolated_transaction(), gathering():
                if object_id is not None:
                    self._lock(request, object_id)
                return super().changeform_view(request, object_id, *args, **kwargs)
        except UnreadablePostError:
            raise
        except (OSError, BotoCoreError, ClientError) as error:  # of a disk, of R2
            logger.exception("a picture could not be stored")
            reason = getattr(error, "strerror", None) or type(error).__name__
            text = _(
                "Nothing was saved: the picture could not be stored (%(reason)s). Please try again later."
            )
            self.message_user(request, text % {"reason": reason}, messages.ERROR)
            return HttpResponseRedirect(request.path)

    @repeat_on_conflict
    def delete_view(self, request: HttpRequest, object_id: str, *args: Any) -> Any:
        """Ask, then delete a product; the second of two clicks leads to the list."""
        if request.method != "POST":
            return super().delete_view(request, object_id, *args)
        with isolated_transaction():
            if self._lock(request, object_id):
                return super().delete_view(request, object_id, *args)
        return HttpResponseRedirect(reverse("admin:shop_product_changelist"))

    def _lock(self, request: HttpRequest, object_id: str) -> bool:
        """Lock a product until the transaction ends; return False if it is gone.

        On D1 a second writer conflicts instead, and runs again.
        """
        product = self.get_object(request, unquote(object_id))
        return product is not None and bool(Product.objects.select_for_update().filter(pk=product.pk))

    def save_formset(
        self, request: HttpRequest, form: Any, formset: "BaseInlineFormSet[Any, Any, Any]", change: bool
    ) -> None:
        """Save new variants with their stock item; retire deleted variants that have a history."""
        if isinstance(formset, PictureFormSet):  # comes after the variants
            formset.assign_variants()
        if formset.model is not Variant:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for variant in formset.deleted_objects:
            if Variant.objects.filter(has_history(), pk=variant.pk).exists():
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
    """Set the status of products in one transaction with its audit log; return how many were changed."""
    changed = 0
    for product in products.exclude(status=status):
        product.status = status
        # one by one: an update of the queryset is not in the audit log
        product.save(update_fields=["status"])
        changed += 1
    return changed


def add_variant(variant: Variant, *, initial_stock: int, user: AbstractBaseUser | Any) -> None:
    """Save a new variant with its stock item, and receive its initial stock."""
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
