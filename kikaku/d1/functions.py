"""PLACEHOLDER: overwrite me."""

from typing import Any

REWRITES: dict[type, Any] = {}
