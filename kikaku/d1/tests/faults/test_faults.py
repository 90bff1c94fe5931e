"""Faults between a block and D1: all of it is applied, once, or nothing, and the caller knows which."""

from collections.abc import Iterable
from typing import Any

import pytest

from ...transport import MAX_TRIES
from .bank import COMMIT, INSERT, READ, STEPS, Bank, Outcome, State, outcome_of
from .faults import ALL, LOST, REPRESENTATIVE, SLOW, UNANSWERED, drop_answer, instead, refuse

NUMBERS = range(1, len(STEPS) + 1)
# for pairs of faults: all faults with each of these (not delivered, delivered, delivered later)
DELIVERIES = ("the request is dropped", "the answer is dropped", "the request comes late")


def step_name(number: int) -> str:
    return STEPS[number - 1].replace(" ", "-")


def test_a_transfer_sends_these_requests(bank: Bank) -> None:
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert bank.line.requests == len(STEPS)
    assert bank.check(outcome, message) is State.ALL


# ── One fault ────────────────────────────────────────────────────────────────────────────────────────────


def steps_and_faults(numbers: Iterable[int], faults: Iterable[str]) -> list[Any]:
    """Return (step, fault) for parametrize: representative faults at every step, all faults at three."""
    return [
        pytest.param(number, name, id=f"{step_name(number)}-{name}")
        for number in numbers
        for name in faults
        if name in REPRESENTATIVE or number in (READ, INSERT, COMMIT)
    ]


@pytest.mark.parametrize("number, name", steps_and_faults(NUMBERS, ALL))
def test_one_fault_at_any_step_is_overcome(bank: Bank, number: int, name: str) -> None:
    bank.line.plan({number: ALL[name]})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.APPLIED, message
    bank.check(outcome, message)


@pytest.mark.parametrize("name", sorted(REPRESENTATIVE & UNANSWERED.keys()))
@pytest.mark.parametrize("number", [READ, INSERT, COMMIT], ids=step_name)
def test_two_faults_in_a_row_are_overcome(bank: Bank, number: int, name: str) -> None:
    bank.line.plan({number: UNANSWERED[name], number + 1: UNANSWERED[name]})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.APPLIED, message
    bank.check(outcome, message)


# ── The fault stays ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number, name", steps_and_faults(range(1, COMMIT), UNANSWERED))
def test_a_connection_that_fails_within_the_block_applies_nothing(bank: Bank, number: int, name: str) -> None:
    bank.line.plan(lambda request: UNANSWERED[name] if request >= number else None)
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    bank.line.heal()
    assert outcome is Outcome.FAILED
    assert bank.check(outcome, message) is State.NOTHING


@pytest.mark.parametrize("name", UNANSWERED)
def test_a_connection_that_fails_at_the_commit_leaves_it_unknown(bank: Bank, name: str) -> None:
    bank.line.plan(lambda request: UNANSWERED[name] if request >= COMMIT else None)
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    bank.line.heal()
    assert outcome is Outcome.UNKNOWN, message
    state = bank.check(outcome, message)
    assert state is (State.NOTHING if name in LOST else state)


@pytest.mark.parametrize(
    "committing, asking",
    sorted(
        {(name, delivery) for name in UNANSWERED for delivery in DELIVERIES[:2]}
        | {(delivery, name) for name in UNANSWERED for delivery in DELIVERIES[:2]}
        | {("the request comes late", name) for name in REPRESENTATIVE & UNANSWERED.keys()}
    ),
)
def test_the_result_of_a_commit_is_asked_three_times(bank: Bank, committing: str, asking: str) -> None:
    last = COMMIT + MAX_TRIES  # the last question has an answer
    bank.line.plan(
        {COMMIT: UNANSWERED[committing]} | {n: UNANSWERED[asking] for n in range(COMMIT + 1, last)}
    )
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.APPLIED, message
    bank.check(outcome, message)


@pytest.mark.parametrize("asking", [name for name in UNANSWERED if name not in SLOW])
@pytest.mark.parametrize("committing", DELIVERIES)
def test_a_commit_is_unknown_when_d1_cannot_be_asked(bank: Bank, committing: str, asking: str) -> None:
    questions = range(COMMIT + 1, COMMIT + 1 + MAX_TRIES)
    bank.line.plan({COMMIT: UNANSWERED[committing]} | {n: UNANSWERED[asking] for n in questions})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.UNKNOWN
    assert "not known" in message
    expected = {
        "the request is dropped": State.NOTHING,
        "the answer is dropped": State.ALL,
        # a question that was delivered prevents the commit
        "the request comes late": State.ALL if asking in LOST else State.NOTHING,
    }
    assert bank.check(outcome, message) is expected[committing]


@pytest.mark.parametrize("name", LOST)
def test_a_commit_that_is_never_delivered_fails_and_applies_nothing(bank: Bank, name: str) -> None:
    """Each question has an answer, so the caller knows that nothing was applied."""
    bank.line.plan({COMMIT + 2 * attempt: LOST[name] for attempt in range(MAX_TRIES)})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.FAILED
    assert "nothing was written" in message.lower()
    assert bank.check(outcome, message) is State.NOTHING


def test_a_delayed_commit_is_not_applied_after_its_retry(bank: Bank) -> None:
    """Two are delayed and the third is applied; then the delayed ones reach D1."""
    late = SLOW["the request comes late"]
    bank.line.plan({COMMIT: late, COMMIT + 2: late})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.APPLIED
    bank.check(outcome, message)


def test_a_commit_without_an_answer_is_applied_once_although_another_writer_followed(
    bank: Bank,
) -> None:
    """Its own guard would fail in a retry, so the result must be asked first."""

    def write_between(exchange: Any) -> None:
        exchange.forward()
        bank.good.cursor().execute("UPDATE account SET yen = yen + 1 WHERE id = %s", [bank.account])
        exchange.hang_up()

    bank.line.plan({COMMIT: write_between})
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.APPLIED, message
    bank.line.settle()
    assert bank.rows() == (91, ["it's 10円 😀"])


def test_a_lost_commit_after_which_another_writer_came_is_a_conflict(bank: Bank) -> None:
    """In a serializable block; at read committed the block may have read just before the other wrote."""

    def write_between(exchange: Any) -> None:
        bank.good.cursor().execute("UPDATE account SET yen = yen + 1 WHERE id = %s", [bank.account])
        exchange.hang_up()

    bank.line.plan({COMMIT: write_between})
    customer = bank.customer()
    customer.isolation = "serializable"
    outcome, message = outcome_of(lambda: bank.transfer(customer))
    assert outcome is Outcome.CONFLICT, message
    bank.line.settle()
    assert bank.rows() == (101, [])


# ── The question is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "status, text",
    [
        (401, "wrong or missing secret"),
        (404, "no such database"),
        (422, "D1_ERROR: database or disk is full: SQLITE_FULL"),
        (400, "body is not JSON"),
        (413, "body too large"),
    ],
)
def test_a_refused_question_about_a_commit_leaves_it_unknown(bank: Bank, status: int, text: str) -> None:
    """The secret was changed, or the database is full: the block may have been applied."""
    bank.line.plan(lambda n: drop_answer if n == COMMIT else refuse(status, text) if n > COMMIT else None)
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.UNKNOWN, message
    assert bank.check(outcome, message) is State.ALL


def test_an_empty_answer_about_a_commit_leaves_it_unknown(bank: Bank) -> None:
    nothing = b'{"rows": [], "read": 0, "written": 0}'
    silent = instead(200, b'{"results": [%s, %s]}' % (nothing, nothing))
    bank.line.plan(lambda n: drop_answer if n == COMMIT else silent if n > COMMIT else None)
    outcome, message = outcome_of(lambda: bank.transfer(bank.customer()))
    assert outcome is Outcome.UNKNOWN, message
    assert bank.check(outcome, message) is State.ALL
