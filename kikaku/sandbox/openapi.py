"""Validation of requests and responses against Stripe's published OpenAPI document, for tests.

The document is not part of the repository: `scripts/stripe_spec.py` fetches it to `var/stripe/spec3.json`.
Only tests import this module, which needs jsonschema. It shares no code with the stand-in's reading of
parameters.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from kikaku.sandbox.http import Request, Response

SPEC_PATH = Path(__file__).parents[2] / "var/stripe/spec3.json"
_SCHEMAS = "#/components/schemas/"
# Annotations without effect on validation.
_IGNORED_KEYWORDS = {"description", "title", "nullable"}


class ContractViolation(AssertionError):
    """Raised when a request or a response does not conform to Stripe's document."""


class Contract:
    """Validator of requests, responses and events; schemas are prepared once, on first use."""

    def __init__(self, path: Path = SPEC_PATH) -> None:
        """Read the document.

        Raises:
            FileNotFoundError: it has not been fetched yet.
        """
        self._document: dict[str, Any] = json.loads(path.read_bytes())
        self.version: str = self._document["info"]["version"]
        # Literal paths come before templates: /v1/refunds/{refund} must not match the name of a sub-path.
        self._paths = [
            (re.compile(re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(template)) + r"\Z"), template)
            for template in sorted(self._document["paths"], key=lambda template: template.count("{"))
        ]
        self._validators: dict[str, Any] = {}
        # Every reference names a whole schema, so that each is prepared once and looked up by name.
        self._dialect = extend(  # type: ignore[no-untyped-call]
            Draft4Validator, {"$ref": self._follow, "anyOf": self._any_of}
        )

    def _validator(self, key: str, schema: Callable[[], Any]) -> Any:
        known = self._validators.get(key)
        if known is None:
            known = self._dialect(_strict(schema()))
            self._validators[key] = known
        return known

    def _follow(
        self, _validator: Any, reference: str, instance: Any, _schema: Any
    ) -> Iterator[ValidationError]:
        """Check an instance against the schema of a `$ref`."""
        name = reference.removeprefix(_SCHEMAS)
        yield from self._validator(reference, lambda: self._named(name)).iter_errors(instance)

    def _any_of(
        self, validator: Any, variants: list[Any], instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        """Check alternatives; an object with an `object` property is checked against that kind only."""
        if isinstance(instance, dict) and "object" in instance:
            of_its_kind = [variant for variant in variants if self._kind(variant) == instance["object"]]
            if len(of_its_kind) == 1:
                yield from validator.descend(instance, of_its_kind[0])
                return
        yield from Draft4Validator.VALIDATORS["anyOf"](validator, variants, instance, schema)

    def _kind(self, variant: Mapping[str, Any]) -> str | None:
        """Return the only `object` value that a referenced schema allows."""
        if "$ref" not in variant:
            return None
        properties = self._named(variant["$ref"].removeprefix(_SCHEMAS)).get("properties", {})
        choices = properties.get("object", {}).get("enum", [None])
        return choices[0] if len(choices) == 1 else None

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        for pattern, template in self._paths:
            operation = self._document["paths"][template].get(method.lower())
            if operation is not None and pattern.match(path):
                return f"{method.upper()} {template}", operation
        raise ContractViolation(f"Stripe has no {method.upper()} {path}")

    def check_request(self, method: str, target: str, body: bytes) -> None:
        """Check path, query and form-encoded body of a request: names, types, choices, required parameters.

        Raises:
            ContractViolation: Stripe does not document the request.
        """
        raw_path, _, query = target.partition("?")
        name, operation = self._operation(method, unquote(raw_path))
        given = _nested(query)
        parameters = [entry for entry in operation.get("parameters", []) if entry["in"] == "query"]
        schema = {
            "type": "object",
            "properties": {entry["name"]: entry["schema"] for entry in parameters},
            "required": [entry["name"] for entry in parameters if entry.get("required")],
        }
        self._validate(f"query of {name}", schema, _typed(schema, given, self._named))
        content = operation.get("requestBody", {}).get("content", {})
        forms: list[dict[str, Any]] = [entry["schema"] for entry in content.values()]
        form = forms[0] if forms else {"type": "object", "properties": {}}
        try:
            decoded = body.decode("utf-8")
        except UnicodeDecodeError:
            raise ContractViolation(f"body of {name}: not UTF-8") from None
        self._validate(f"body of {name}", form, _typed(form, _nested(decoded), self._named))

    def check_response(self, method: str, target: str, status: int, body: bytes) -> None:
        """Check the JSON of a response: 200 as the operation documents, anything else as Stripe's error.

        Raises:
            ContractViolation: Stripe does not document the response.
        """
        path = unquote(target.partition("?")[0])
        try:
            document = json.loads(body)
        except ValueError:
            raise ContractViolation(f"{method} {path}: the answer is no JSON") from None
        if status != 200:
            self._validate(f"error of {method} {path}", {"$ref": _SCHEMAS + "error"}, document)
            return
        name, operation = self._operation(method, path)
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        self._validate(f"answer of {name}", schema, document)
        if isinstance(document, dict) and document.get("object") == "list":
            for member in document["data"]:
                if member.get("object") == "event":
                    self._check_event_document(member)
        elif isinstance(document, dict) and document.get("object") == "event":
            self._check_event_document(document)

    def check_event(self, body: bytes) -> None:
        """Check an event as delivered to a webhook, and the object within it, without expansion.

        Raises:
            ContractViolation: Stripe does not document the event.
        """
        event = json.loads(body)
        self._check_event_document(event)
        subject = event["data"]["object"]
        if not event["type"].startswith(subject["object"] + "."):
            raise ContractViolation(f"event {event['type']} is about a {subject['object']}")

    def _check_event_document(self, event: Any) -> None:
        self._validate("event", {"$ref": _SCHEMAS + "event"}, event)
        subject = event["data"]["object"]
        kind = subject.get("object")
        if kind not in self._document["components"]["schemas"]:
            raise ContractViolation(f"event {event['type']}: Stripe has no object {kind}")
        self._validate(f"object of {event['type']}", {"$ref": _SCHEMAS + kind}, subject)
        unknown = set(event["data"].get("previous_attributes", {})) - set(subject)
        left_out = unknown - set(self._named(kind)["properties"])
        if left_out:
            raise ContractViolation(
                f"event {event['type']}: previous_attributes name unknown {sorted(left_out)}"
            )

    def observe(self, request: Request, response: Response) -> None:
        """Check request and response below /v1/; usable as `Sandbox(observer=…)`.

        Raises:
            ContractViolation: as the single checks.
        """
        if request.target.startswith("/v1/"):
            self.check_request(request.method, request.target, request.body)
            self.observe_response(request, response)

    def observe_response(self, request: Request, response: Response) -> None:
        """Check the response only, for tests that send what Stripe refuses; usable as `observer`, too."""
        if request.target.startswith("/v1/"):
            self.check_response(request.method, request.target, response.status, response.body)

    def _named(self, name: str) -> dict[str, Any]:
        schema: dict[str, Any] = self._document["components"]["schemas"][name]
        return schema

    def _validate(self, what: str, schema: Mapping[str, Any], document: Any) -> None:
        validator = self._validator("to " + str(schema.get("$ref", what)), lambda: schema)
        error = best_match(validator.iter_errors(document))
        if error is not None:
            raise ContractViolation(f"{what}: {_described(error)}")


@lru_cache(maxsize=2)
def contract(path: Path = SPEC_PATH) -> Contract:
    """Return the document's contract, read once per process.

    Raises:
        FileNotFoundError: it has not been fetched yet.
    """
    return Contract(path)


def _described(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    return f"at {place or 'the top'}: {error.message[:600]}"


def _strict(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema draft 4 that allows no unknown property."""
    if isinstance(schema, list):
        return [_strict(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _IGNORED_KEYWORDS or key.startswith("x-"):
            continue
        if key == "properties":
            result[key] = {name: _strict(member) for name, member in value.items()}
        elif key in {"items", "anyOf", "oneOf", "allOf", "additionalProperties"}:
            result[key] = _strict(value)
        else:
            result[key] = value
    if "properties" in result:
        result.setdefault("additionalProperties", False)
    if not result.get("required", True):
        del result["required"]  # draft 4 requires at least one name
    if schema.get("nullable"):
        return {"anyOf": [result, {"type": "null"}]}
    return result


def _nested(encoded: str) -> dict[str, Any]:
    """Decode brackets into dictionaries; list members are keyed by their position."""
    result: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True, errors="strict"):
        names = [part.rstrip("]") for part in key.split("[")]
        target = result
        for position, name in enumerate(names):
            name = name or str(len(target))
            if position == len(names) - 1:
                target[name] = value
            else:
                target = target.setdefault(name, {})
                if not isinstance(target, dict):
                    raise ContractViolation(f"{key} is both a value and a group")
    return result


def _typed(schema: Mapping[str, Any], value: Any, named: Callable[[str], dict[str, Any]]) -> Any:
    """Return form values with the types of the schema; a value that does not fit is left to be refused."""
    if "$ref" in schema:
        return _typed(named(schema["$ref"].removeprefix(_SCHEMAS)), value, named)
    if "anyOf" in schema:
        for variant in _variants(schema, value):
            return _typed(variant, value, named)
    kind = schema.get("type")
    if isinstance(value, dict):
        if kind == "array":
            members = [value[key] for key in sorted(value, key=lambda key: (len(key), key))]
            return [_typed(schema["items"], member, named) for member in members]
        properties = schema.get("properties", {})
        return {
            key: _typed(properties[key], member, named) if key in properties else member
            for key, member in value.items()
        }
    if kind == "integer" and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return float(value)
    if kind == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value


def _variants(schema: Mapping[str, Any], value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the variants that can hold the value's shape: a group or a list for groups, else a scalar."""
    for variant in schema["anyOf"]:
        grouped = variant.get("type") in {"object", "array"}
        if grouped == isinstance(value, dict) and not (variant.get("enum") == [""] and value != ""):
            yield variant
