"""Parallel processes that want the same row: one creates it, and no other fails."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from ... import retry_on_conflict
from ...testing.processes import WaitForAll
from .blocks import block, engine_name
from .choices import SCALE, run_concurrently
from .tables import Account, Parent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables")]

PROCESSES = 6
ROUNDS = 20 * SCALE


def get_or_create(token: str) -> bool:
    return Parent.objects.get_or_create(token=token)[1]


@retry_on_conflict
def get_or_create_in_a_block(token: str) -> bool:
    with block():
        return Parent.objects.get_or_create(token=token)[1]


@retry_on_conflict
def get_or_create_in_a_serializable_block(token: str) -> bool:
    with block("serializable"):
        return Parent.objects.get_or_create(token=token)[1]


@retry_on_conflict
def update_or_create(token: str) -> bool:
    return Parent.objects.update_or_create(token=token, defaults={})[1]


def save_or_lose(token: str) -> bool:
    """Insert, and take the other's row when the constraint refuses one's own."""
    try:
        with transaction.atomic():
            Parent(token=token).save()
    except IntegrityError:
        assert Parent.objects.filter(token=token).exists()
        return False
    return True


@pytest.mark.parametrize(
    "way",
    [
        get_or_create,
        get_or_create_in_a_block,
        get_or_create_in_a_serializable_block,
        update_or_create,
        save_or_lose,
    ],
)
def test_one_creates_the_row_and_no_loser_of_the_race_fails(way: Callable[[str], bool]) -> None:
    if way is get_or_create_in_a_serializable_block and engine_name() == "postgresql":
        pytest.skip("PostgreSQL's snapshot lacks the row of the faster writer, so an IntegrityError remains")

    def job(_number: int, wait_for_all: WaitForAll) -> list[bool]:
        wait_for_all()
        return [way(f"token {turn}") for turn in range(ROUNDS)]

    for outcomes in zip(*run_concurrently(PROCESSES, job), strict=True):
        assert sum(outcomes) == 1
    assert Parent.objects.count() == ROUNDS


def test_counting_by_update_or_create_with_retries_loses_nothing() -> None:
    @retry_on_conflict
    def count(key: int) -> None:
        Account.objects.update_or_create(pk=key, defaults={"n": F("n") + 1}, create_defaults={"n": 1})

    def job(_number: int, wait_for_all: WaitForAll) -> None:
        wait_for_all()
        for turn in range(ROUNDS):
            count(turn % 4)

    run_concurrently(PROCESSES, job)
    assert sum(Account.objects.values_list("n", flat=True)) == PROCESSES * ROUNDS
