"""Categories and content pages."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from shop.admin.editable import EditableAdmin
from shop.models import Category, ContentPage


@admin.register(Category)
class CategoryAdmin(EditableAdmin):
    """The categories of the shop."""

    list_display = ("name_ja", "room_ja", "slug", "position", "products")
    prepopulated_fields = {"slug": ("name_en",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        """Return the categories with the number of their products."""
        found: QuerySet[Category] = super().get_queryset(request)
        return found.annotate(count=Count("products"))

    @admin.display(description=gettext_lazy("products"), ordering="count")
    def products(self, category: Any) -> int:
        """Return the number of products in the category."""
        count: int = category.count
        return count


@admin.register(ContentPage)
class ContentPageAdmin(EditableAdmin):
    """The content pages; their HTML is sanitised when it is saved."""

    list_display = ("title_ja", "slug", "updated_at")
    prepopulated_fields = {"slug": ("title_en",)}
    readonly_fields = ("updated_at",)
