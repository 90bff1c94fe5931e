from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfold.enums import ActionVariant

@dataclass
class UnfoldAction:
    action_name: str
    method: Callable[..., Any]
    description: str
    path: str
    attrs: dict[str, Any] | None = None
    object_id: int | str | None = None
    icon: str | None = None
    variant: ActionVariant | None = ...
    dialog: Any = None

class SearchResult:
    def __init__(self, title: str, description: str, link: str, icon: str | None) -> None: ...
