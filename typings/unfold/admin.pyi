from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from unfold.dataclasses import UnfoldAction

# not generic, unlike Django's in django-stubs: at run time neither takes its model in brackets
class ModelAdmin(admin.ModelAdmin[Any]):
    actions_list: ClassVar[Sequence[str]]
    actions_row: ClassVar[Sequence[str]]
    actions_detail: ClassVar[Sequence[str]]
    actions_submit_line: ClassVar[Sequence[str]]
    compressed_fields: ClassVar[bool]
    list_fullwidth: ClassVar[bool]
    list_filter_submit: ClassVar[bool]
    list_before_template: ClassVar[str | None]
    list_after_template: ClassVar[str | None]
    change_form_before_template: ClassVar[str | None]
    change_form_after_template: ClassVar[str | None]
    change_form_outer_before_template: ClassVar[str | None]
    change_form_outer_after_template: ClassVar[str | None]
    warn_unsaved_form: ClassVar[bool]

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[UnfoldAction]: ...

class TabularInline(admin.TabularInline[Any, Any]):
    tab: ClassVar[bool]
    collapsible: ClassVar[bool]
    hide_title: ClassVar[bool]
    per_page: ClassVar[int | None]

class StackedInline(admin.StackedInline[Any, Any]):
    tab: ClassVar[bool]
    collapsible: ClassVar[bool]
    hide_title: ClassVar[bool]
    per_page: ClassVar[int | None]
