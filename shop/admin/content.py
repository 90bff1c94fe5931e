"""The categories and the pages of text."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from shop.admin.editable import EditableAdmin
from shop.models import Category, ContentPage


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
