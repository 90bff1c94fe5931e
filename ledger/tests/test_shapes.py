"""The shapes that we demand of Stripe's objects ask for nothing that its document does not promise."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from kikaku.testing import engine_missing
from ledger.stripe import captures, schema

NOW = datetime(2026, 11, 16, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """Return the schemas of Stripe's document by the name of the object."""
    path = Path(settings.BASE_DIR) / "var/stripe/spec3.json"
    if not path.exists():
        engine_missing("Stripe's OpenAPI document: `python scripts/stripe_spec.py` fetches it")
    schemas: dict[str, Any] = json.loads(path.read_bytes())["components"]["schemas"]
    return schemas


def demanded(kind: str) -> Iterator[str]:
    """Yield the fields of a kind that may be neither missing nor null."""
    for field, accepts in schema.SHAPES[kind].items():
        if not accepts(None):
            yield field


@pytest.mark.parametrize("kind", schema.SHAPES)
def test_a_field_that_we_demand_is_one_that_stripe_requires(published: dict[str, Any], kind: str) -> None:
    described = published[kind]
    required = {
        field
        for field in described["required"]
        if not described["properties"].get(field, {}).get("nullable", False)
    }
    assert set(demanded(kind)) - required == set()


def test_an_intent_that_does_not_say_how_much_was_captured_records_nothing() -> None:
    intent = {"object": "payment_intent", "id": "pi_1", "status": "succeeded"}
    schema.check(intent, "payment_intent")
    assert captures.read_intent(intent, occurred_at=NOW) is None
