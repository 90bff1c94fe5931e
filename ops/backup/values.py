"""A value of a row as JSON and back, so that every engine gets it unchanged.

Whole numbers of any size, texts, booleans and null are themselves; all else is an object with one key, which
names its type.
"""

import base64
import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def encode(value: Any) -> Any:
    """Return a value as JSON has it. Raises `TypeError` for a type that no column has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, timedelta):
        return {"seconds": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, UUID):
        return {"uuid": str(value)}
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, dict | list):
        return {"json": value}
    raise TypeError(f"a backup has no form for {type(value).__name__}")


def decode(value: Any) -> Any:
    """Return the value that `encode` was given. Raises `ValueError` for anything else."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a list is no value of a row")
        return value
    [(kind, content)] = value.items()
    if kind == "float":
        return float(content)
    if kind == "time":
        return datetime.fromisoformat(content)
    if kind == "day":
        return date.fromisoformat(content)
    if kind == "decimal":
        return Decimal(content)
    if kind == "seconds":
        return timedelta(*content)
    if kind == "uuid":
        return UUID(content)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "json":
        return content
    raise ValueError(f"{kind!r} is no type of a value")
