"""Categories, content pages and the synonyms of the search."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kikaku.admin.columns import time_column
from kikaku.admin.editable import EditableAdmin
from shop.models import Category, ContentPage, Redirect, SearchSynonym
from shop.pages.marks import offered_marks, unknown_marks


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


if TYPE_CHECKING:
    PageModelForm = forms.ModelForm[ContentPage]
else:
    PageModelForm = forms.ModelForm


class ContentPageForm(PageModelForm):
    """A content page; marks in its text must be known."""

    def clean_body_ja(self) -> str:
        """Return the Japanese text."""
        return self._checked("body_ja")

    def clean_body_en(self) -> str:
        """Return the English text."""
        return self._checked("body_en")

    def _checked(self, field: str) -> str:
        """Return a text. Raises `ValidationError` if a mark in it stands for nothing."""
        text: str = self.cleaned_data[field]
        if unknown := unknown_marks(text):
            message = _("%(unknown)s stands for nothing. These can be written: %(known)s")
            raise forms.ValidationError(message % {"unknown": " ".join(unknown), "known": offered_marks()})
        return text


# what the law asks for and every order refers to: their text can be changed, but not their address
LEGAL_PAGES = ("tokushoho", "privacy", "terms", "returns")


@admin.register(ContentPage)
class ContentPageAdmin(EditableAdmin):
    """The content pages; their HTML is sanitised when it is saved."""

    form = ContentPageForm

    list_display = ("title_ja", "slug", "updated_at")
    prepopulated_fields = {"slug": ("title_en",)}
    readonly_fields = ("updated_at",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether a page may be deleted: never one that the law asks for."""
        if isinstance(obj, ContentPage) and obj.slug in LEGAL_PAGES:
            return False
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that are shown only; the address of a legal page is one of them."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "slug") if obj is not None and obj.slug in LEGAL_PAGES else fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return which field is filled from another one: only one that can be changed."""
        return {} if "slug" in self.get_readonly_fields(request, obj) else self.prepopulated_fields

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field of a form; those of texts name the marks that are replaced."""
        if db_field.name in ("body_ja", "body_en"):
            text = _("In place of these the page shows the shop’s current terms: %(known)s")
            kwargs["help_text"] = text % {"known": offered_marks()}
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(SearchSynonym)
class SearchSynonymAdmin(EditableAdmin):
    """Words that mean the same in the search; saving one makes the texts of all products anew."""

    list_display = ("words",)
    search_fields = ("words",)


@admin.register(Redirect)
class RedirectAdmin(EditableAdmin):
    """Addresses that pages had: written when a slug changes, or by staff."""

    list_display = ("old", "new", "kind", time_column(Redirect, "created_at"))
    list_filter = ("kind",)
    search_fields = ("old", "new")
