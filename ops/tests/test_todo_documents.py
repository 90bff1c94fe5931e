"""docs/operations.md says of each rule what it finds, by which threshold, and how its to-do ends."""

import re

from django.conf import settings
from django.utils.translation import override

from ops.models import Todo
from ops.todos import acts

DOCUMENT = (settings.BASE_DIR / "docs" / "operations.md").read_text()
SECTION = DOCUMENT.split("\n## To-dos\n")[1].split("\n## ")[0]
ROWS = {row.split("|")[1].strip(): row for row in re.findall(r"^\|.*\|$", SECTION, re.MULTILINE)[2:]}


def test_every_kind_has_a_row_in_the_order_of_the_rules() -> None:
    with override("ja"):
        assert list(ROWS) == [str(kind.label) for kind in Todo.Kind]


def test_every_threshold_is_named_with_its_value() -> None:
    named = {(name, int(value)) for name, value in re.findall(r"`(\w+)` (\d+)", SECTION)}
    assert named == set(settings.TODO_THRESHOLDS.items())


def test_the_acts_of_each_kind_are_named_as_their_buttons_are() -> None:
    with override("ja"):
        for kind in Todo.Kind:
            named = re.findall(r"\*([^*]+)\*", ROWS[str(kind.label)])
            assert named == [str(act.button) for act in acts.ACTS[kind]], kind


def test_kinds_that_are_always_urgent_or_can_be_are_said_to_be() -> None:
    never = {Todo.Kind.DISCREPANCY, Todo.Kind.HIGH_VALUE, Todo.Kind.LATE_VOUCHER}
    by_rate = {Todo.Kind.REFUND_RATE, Todo.Kind.PAYMENT_FAILURES}  # by their `…_alarm_percent`
    with override("ja"):
        for kind in Todo.Kind:
            row = ROWS[str(kind.label)]
            assert ("urgent" in row) == (kind not in never | by_rate), kind
            assert ("_alarm_percent" in row) == (kind in by_rate), kind
