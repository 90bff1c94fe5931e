from collections.abc import Iterator
from typing import Any

from django.contrib.admin import FieldListFilter, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

class RangeDateFilter(FieldListFilter):
    parameter_name: str
    used_parameters: dict[str, Any]
    def choices(self, changelist: Any) -> Iterator[Any]: ...
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None: ...

class RangeNumericFilter(FieldListFilter):
    parameter_name: str
    used_parameters: dict[str, Any]
    def choices(self, changelist: Any) -> Iterator[Any]: ...
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None: ...

class TextFilter(SimpleListFilter):
    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]: ...
