from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.db.models.expressions import BaseExpression, Combinable
from django.utils.functional import _StrPromise
from unfold.enums import ActionVariant

_F = TypeVar("_F", bound=Callable[..., Any])

# both return the function that they are given, with attributes added
def action(
    *,
    permissions: Iterable[str] | None = None,
    description: str | _StrPromise | None = None,
    url_path: str | None = None,
    attrs: dict[str, Any] | None = None,
    icon: str | None = None,
    variant: ActionVariant | None = ...,
) -> Callable[[_F], _F]: ...
def display(
    *,
    boolean: bool | None = None,
    image: bool | None = None,
    ordering: str | Combinable | BaseExpression | None = None,
    description: str | _StrPromise | None = None,
    empty_value: str | None = None,
    dropdown: bool | None = None,
    label: bool | str | Mapping[str, str] | None = None,
    header: bool | None = None,
) -> Callable[[_F], _F]: ...
