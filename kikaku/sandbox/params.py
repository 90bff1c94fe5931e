"""Form-encoded parameters with brackets: decode them, and read them with Stripe's errors."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from kikaku.sandbox.errors import ApiError

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EMAIL = re.compile(r"[^\s@<>(),;:\"\\]+@[^\s@<>(),;:\"\\]+\.[^\s@.]{2,}\Z")
_MAX_FIELDS = 4000
_MAX_DEPTH = 8


def decode_form(encoded: str) -> dict[str, Any]:
    """Decode `a[b][0]=c` into nested dictionaries; the members of a list are keyed "0", "1", … in order.

    Raises:
        ApiError: 400 for a broken escape, text that is not UTF-8, an unbalanced bracket, or a name that is
            used both as a value and as a group.
    """
    if not encoded:
        return {}
    if _BAD_ESCAPE.search(encoded):
        raise ApiError(400, "Invalid request: the body or query holds a broken %-escape.")
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except (ValueError, UnicodeDecodeError):
        raise ApiError(400, "Invalid request: the parameters are not form-encoded UTF-8.") from None
    result: dict[str, Any] = {}
    for key, value in pairs:
        matched = _KEY.match(key)
        names = [matched[1], *re.findall(r"\[([^\[\]]*)\]", matched[2])] if matched else []
        if not names or len(names) > _MAX_DEPTH:
            raise ApiError(400, f"Invalid parameter name: {key[:80]}", param=key[:80])
        _put(result, names, value, key)
    return result


def _put(target: dict[str, Any], names: Sequence[str], value: str, key: str) -> None:
    """Set one value; an empty bracket appends, or extends the last member while that lacks the next name."""
    for position, name in enumerate(names):
        last = position == len(names) - 1
        if name == "":
            index = len(target)
            open_member = target.get(str(index - 1))
            if not last and isinstance(open_member, dict) and names[position + 1] not in {"", *open_member}:
                index -= 1
            name = str(index)
        if last:
            if isinstance(target.get(name), dict):
                raise ApiError(
                    400, f"Invalid parameter: {key[:80]} is both a value and a group.", param=key[:80]
                )
            target[name] = value
            return
        below = target.setdefault(name, {})
        if not isinstance(below, dict):
            raise ApiError(400, f"Invalid parameter: {key[:80]} is both a value and a group.", param=key[:80])
        target = below


def is_email(text: str) -> bool:
    """Return whether a text can be an e-mail address."""
    return _EMAIL.match(text) is not None


def list_members(value: Any) -> list[Any] | None:
    """Return the members of a decoded list in order, or None if `value` is not a list."""
    if not isinstance(value, dict) or not all(name.isdecimal() for name in value):
        return None
    return [value[name] for name in sorted(value, key=int)]


class Params:
    """One level of a request's parameters.

    Each reader checks one name and remembers it; `refuse_unknown()` then refuses all names that were not
    read, here and in every level below, as Stripe does.
    """

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path
        self._read_names: set[str] = set()
        self._below: list[Params] = []

    def name_of(self, name: str) -> str:
        """Return the full name of a parameter, as `line_items[0][quantity]`."""
        return f"{self._path}[{name}]" if self._path else name

    def has(self, name: str) -> bool:
        """Return whether the parameter was sent."""
        return name in self._values

    def missing(self, name: str) -> ApiError:
        """Return the error of a required parameter that was not sent."""
        full = self.name_of(name)
        return ApiError(400, f"Missing required param: {full}.", code="parameter_missing", param=full)

    def _value(self, name: str, *, required: bool) -> Any:
        self._read_names.add(name)
        if name not in self._values:
            if required:
                raise self.missing(name)
            return None
        value = self._values[name]
        if value == "":
            full = self.name_of(name)
            raise ApiError(
                400,
                f"You passed an empty string for '{full}'. We assume empty values are an attempt to unset a"
                f" parameter; however '{full}' cannot be unset."
                f" You should remove '{full}' from your request or supply a non-empty value.",
                code="parameter_invalid_empty",
                param=full,
            )
        return value

    def text(self, name: str, *, required: bool = False, max_length: int = 5000) -> str | None:
        """Return a text of at most `max_length` characters, or None."""
        value = self._value(name, required=required)
        if value is None:
            return None
        full = self.name_of(name)
        if not isinstance(value, str):
            raise ApiError(400, f"Invalid string: {full} is a group.", param=full)
        if len(value) > max_length:
            raise ApiError(
                400,
                f"Invalid string: {value[:12]}…; must be at most {max_length} characters",
                code="parameter_invalid_string_length",
                param=full,
            )
        if any(unicodedata.category(character) == "Cc" and character not in "\r\n\t" for character in value):
            raise ApiError(400, "Invalid string: it holds control characters.", param=full)
        return value

    def required_text(self, name: str, *, max_length: int = 5000) -> str:
        """Return a required text."""
        value = self.text(name, required=True, max_length=max_length)
        if value is None:
            raise self.missing(name)
        return value

    def integer(
        self, name: str, *, required: bool = False, minimum: int | None = None, maximum: int | None = None
    ) -> int | None:
        """Return an integer between `minimum` and `maximum`, both included, or None."""
        value = self.text(name, required=required)
        if value is None:
            return None
        full = self.name_of(name)
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ApiError(
                400, f"Invalid integer: {value[:40]}", code="parameter_invalid_integer", param=full
            )
        number = int(value)
        if minimum is not None and number < minimum:
            raise ApiError(
                400,
                f"This value must be greater than or equal to {minimum} (it currently is '{number}').",
                code="parameter_invalid_integer",
                param=full,
            )
        if maximum is not None and number > maximum:
            raise ApiError(
                400,
                f"This value must be less than or equal to {maximum} (it currently is '{number}').",
                code="parameter_invalid_integer",
                param=full,
            )
        return number

    def choice(self, name: str, choices: Sequence[str], *, required: bool = False) -> str | None:
        """Return one of `choices`, or None."""
        value = self.text(name, required=required)
        if value is not None and value not in choices:
            full = self.name_of(name)
            raise ApiError(400, f"Invalid {full}: must be one of {', '.join(choices)}", param=full)
        return value

    def email(self, name: str) -> str | None:
        """Return an e-mail address, or None."""
        value = self.text(name, max_length=800)
        if value is not None and not is_email(value):
            raise ApiError(
                400, f"Invalid email address: {value[:80]}", code="email_invalid", param=self.name_of(name)
            )
        return value

    def group(self, name: str) -> "Params":
        """Return a group of parameters; empty if it was not sent."""
        value = self._value(name, required=False)
        if value is not None and not isinstance(value, dict):
            raise ApiError(400, "Invalid hash", code="parameter_invalid_hash", param=self.name_of(name))
        return self._level(value or {}, self.name_of(name))

    def _level(self, values: dict[str, Any], path: str) -> "Params":
        below = Params(values, path)
        self._below.append(below)
        return below

    def groups(self, name: str) -> "list[Params]":
        """Return a list of groups."""
        full = self.name_of(name)
        levels = []
        for index, member in enumerate(self._members(name)):
            if not isinstance(member, dict):
                raise ApiError(400, "Invalid hash", param=f"{full}[{index}]")
            levels.append(self._level(member, f"{full}[{index}]"))
        return levels

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        members = self._members(name)
        if not all(isinstance(member, str) for member in members):
            raise ApiError(400, "Invalid array", param=self.name_of(name))
        return members

    def _members(self, name: str) -> list[Any]:
        value = self._value(name, required=False)
        if value is None:
            return []
        members = list_members(value)
        if members is None:
            raise ApiError(400, "Invalid array", param=self.name_of(name))
        return members

    def metadata(self, name: str = "metadata") -> dict[str, str]:
        """Return key-value pairs within Stripe's limits: 50 keys of 40 characters, values of 500.

        Source: https://docs.stripe.com/api/metadata
        """
        value = self._values.get(name, {})
        self._read_names.add(name)
        full = self.name_of(name)
        if value == "":
            return {}
        if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
            raise ApiError(400, "Metadata must be a hash of strings.", param=full)
        if len(value) > 50:
            raise ApiError(400, "You can specify up to 50 metadata keys.", param=full)
        for key, entry in value.items():
            if len(key) > 40:
                raise ApiError(400, "Metadata keys can be up to 40 characters.", param=f"{full}[{key[:40]}]")
            if len(entry) > 500:
                raise ApiError(400, "Metadata values can have up to 500 characters.", param=f"{full}[{key}]")
        return {key: entry for key, entry in value.items() if entry}

    def refuse_unknown(self) -> None:
        """Refuse parameters that were sent and not read.

        Raises:
            ApiError: 400 `parameter_unknown`, naming the first unknown parameter.
        """
        unknown = self._unknown()
        if unknown:
            noun = "parameter" if len(unknown) == 1 else "parameters"
            raise ApiError(
                400,
                f"Received unknown {noun}: {', '.join(unknown)}",
                code="parameter_unknown",
                param=unknown[0],
            )

    def _unknown(self) -> list[str]:
        here = [self.name_of(name)[:120] for name in self._values if name not in self._read_names]
        return here + [name for level in self._below for name in level._unknown()]
