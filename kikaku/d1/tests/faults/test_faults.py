"""A bad line between a block and D1: afterwards all of it is there, once, or nothing, and the caller knows which."""

from collections.abc import Iterable
from typing import Any

import pytest

from ...transport import MAX_TRIES
from .bank import COMMIT, INSERT, READ, STEPS, Bank, State, Told, hear
from .faults import EVERY, KINDS, LOST, SILENT, SLOW, drop_answer, instead, refuse

NUMBERS = range(1, len(STEPS) + 1)
# where two faults meet, each of all meets each of these: nothing came, everything came, and it comes
# afterwards
FEW = ("the request is dropped", "the answer is dropped", "the request comes late")


def named(number: int) -> str:
    return STEPS[number - 1].replace(" ", "-")


def test_a_transfer_takes_these_requests(bank: Bank) -> None:
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert bank.line.requests == len(STEPS)
    assert bank.check(told, said) is State.ALL


# ── One fault ────────────────────────────────────────────────────────────────────────────────────────────


def meetings(numbers: Iterable[int], faults: Iterable[str]) -> list[Any]:
    """Return (step, fault) for parametrize: what is told apart by its kind at every step, all at one of each kind."""
    return [
        pytest.param(number, name, id=f"{named(number)}-{name}")
        for number in numbers
        for name in faults
        if name in KINDS or number in (READ, INSERT, COMMIT)
    ]


@pytest.mark.parametrize("number, name", meetings(NUMBERS, EVERY))
def test_one_fault_anywhere_is_overcome(bank: Bank, number: int, name: str) -> None:
    bank.line.plan({number: EVERY[name]})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.APPLIED, said
    bank.check(told, said)


@pytest.mark.parametrize("name", sorted(KINDS & SILENT.keys()))
@pytest.mark.parametrize("number", [READ, INSERT, COMMIT], ids=named)
def test_two_faults_in_a_row_are_overcome(bank: Bank, number: int, name: str) -> None:
    bank.line.plan({number: SILENT[name], number + 1: SILENT[name]})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.APPLIED, said
    bank.check(told, said)


# ── The line stays bad ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number, name", meetings(range(1, COMMIT), SILENT))
def test_a_line_that_breaks_within_the_block_leaves_nothing(bank: Bank, number: int, name: str) -> None:
    bank.line.plan(lambda request: SILENT[name] if request >= number else None)
    told, said = hear(lambda: bank.transfer(bank.customer()))
    bank.line.heal()
    assert told is Told.FAILED
    assert bank.check(told, said) is State.NOTHING


@pytest.mark.parametrize("name", SILENT)
def test_a_line_that_breaks_at_the_commit_leaves_it_unknown(bank: Bank, name: str) -> None:
    bank.line.plan(lambda request: SILENT[name] if request >= COMMIT else None)
    told, said = hear(lambda: bank.transfer(bank.customer()))
    bank.line.heal()
    assert told is Told.UNKNOWN, said
    state = bank.check(told, said)
    assert state is (State.NOTHING if name in LOST else state)


@pytest.mark.parametrize(
    "committing, asking",
    sorted(
        {(name, few) for name in SILENT for few in FEW[:2]}
        | {(few, name) for name in SILENT for few in FEW[:2]}
        | {("the request comes late", name) for name in KINDS & SILENT.keys()}
    ),
)
def test_what_became_of_a_commit_is_asked_three_times(bank: Bank, committing: str, asking: str) -> None:
    last = COMMIT + MAX_TRIES  # the last question is answered
    bank.line.plan({COMMIT: SILENT[committing]} | {n: SILENT[asking] for n in range(COMMIT + 1, last)})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.APPLIED, said
    bank.check(told, said)


@pytest.mark.parametrize("asking", [name for name in SILENT if name not in SLOW])
@pytest.mark.parametrize("committing", FEW)
def test_a_commit_of_which_d1_can_not_be_asked_is_unknown(bank: Bank, committing: str, asking: str) -> None:
    questions = range(COMMIT + 1, COMMIT + 1 + MAX_TRIES)
    bank.line.plan({COMMIT: SILENT[committing]} | {n: SILENT[asking] for n in questions})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.UNKNOWN
    assert "not known" in said
    expected = {
        "the request is dropped": State.NOTHING,
        "the answer is dropped": State.ALL,
        # a question that came has put a stop in its way
        "the request comes late": State.ALL if asking in LOST else State.NOTHING,
    }
    assert bank.check(told, said) is expected[committing]


@pytest.mark.parametrize("name", LOST)
def test_a_commit_that_never_comes_is_given_up_and_has_left_nothing(bank: Bank, name: str) -> None:
    """Each question is answered: the caller is told for certain."""
    bank.line.plan({COMMIT + 2 * attempt: LOST[name] for attempt in range(MAX_TRIES)})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.FAILED
    assert "nothing was written" in said.lower()
    assert bank.check(told, said) is State.NOTHING


def test_a_late_commit_never_comes_true_after_its_repetition_did(bank: Bank) -> None:
    """Twice late, the third is told as applied; then both old ones reach D1."""
    late = SLOW["the request comes late"]
    bank.line.plan({COMMIT: late, COMMIT + 2: late})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.APPLIED
    bank.check(told, said)


def test_a_commit_that_another_writer_overtook_while_its_answer_was_lost_is_still_applied_once(
    bank: Bank,
) -> None:
    """Its own guard would fail if it were repeated: it must be looked up first."""

    def overtake(exchange: Any) -> None:
        exchange.forward()
        bank.good.cursor().execute("UPDATE account SET yen = yen + 1 WHERE id = %s", [bank.account])
        exchange.hang_up()

    bank.line.plan({COMMIT: overtake})
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.APPLIED, said
    bank.line.settle()
    assert bank.rows() == (91, ["it's 10円 😀"])


def test_a_commit_that_was_lost_and_overtaken_is_a_conflict(bank: Bank) -> None:
    """Where what was read must stand still: else the block may as well have read just before the other wrote."""

    def overtake(exchange: Any) -> None:
        bank.good.cursor().execute("UPDATE account SET yen = yen + 1 WHERE id = %s", [bank.account])
        exchange.hang_up()

    bank.line.plan({COMMIT: overtake})
    customer = bank.customer()
    customer.isolation = "serializable"
    told, said = hear(lambda: bank.transfer(customer))
    assert told is Told.CONFLICT, said
    bank.line.settle()
    assert bank.rows() == (101, [])


# ── D1Error while it is asked ────────────────────────────────────────────────────────────────────────────


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
    """The secret was changed in between, the database is full: the block may be applied all the same."""
    bank.line.plan(lambda n: drop_answer if n == COMMIT else refuse(status, text) if n > COMMIT else None)
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.UNKNOWN, said
    assert bank.check(told, said) is State.ALL


def test_an_answer_about_a_commit_that_says_nothing_leaves_it_unknown(bank: Bank) -> None:
    nothing = b'{"rows": [], "read": 0, "written": 0}'
    silent = instead(200, b'{"results": [%s, %s]}' % (nothing, nothing))
    bank.line.plan(lambda n: drop_answer if n == COMMIT else silent if n > COMMIT else None)
    told, said = hear(lambda: bank.transfer(bank.customer()))
    assert told is Told.UNKNOWN, said
    assert bank.check(told, said) is State.ALL
