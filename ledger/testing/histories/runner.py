"""Living histories: a given one, or as many as hypothesis chooses; what breaks is shortened before it is shown."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from ledger.testing.histories import checks
from ledger.testing.histories.acts import Act, histories, play
from ledger.testing.histories.world import a_world


class Broken(Exception):
    """A history after which something is wrong; the text shows it as it can be pasted into a test, and why."""


def live(ground: Path, history: Sequence[Act]) -> None:
    """Live a history until everything has settled, and raise `AssertionError` with all that is wrong then."""
    with a_world(ground) as world:
        play(world, history)
        world.settle()
        wrong = list(checks.complaints(world))
        assert not wrong, "\n".join(wrong)


def live_many(
    ground: Path,
    *,
    slots: int,
    count: int,
    number: int | None = None,
    on_failure: Callable[[str], object] = lambda failure: None,
) -> None:
    """Live `count` histories of up to `slots` acts, the same ones for the same `number`.

    Raises `Broken` for the first that fails, shortened; `on_failure` is told before that takes its time.
    """
    broken: list[Broken] = []

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(history=histories(slots))
    def any_history(history: list[Act]) -> None:
        if broken:
            return
        failure = _failure(ground, history)
        if failure:
            on_failure(failure)
            broken.append(Broken(_shown(*_shortened(ground, history, failure))))

    (any_history if number is None else seed(number)(any_history))()
    if broken:
        raise broken[0]


def _failure(ground: Path, history: Sequence[Act]) -> str:
    """Live a history and give what went wrong; nothing when it held."""
    try:
        live(ground, history)
    except AssertionError as failure:
        return str(failure)
    except Exception as failure:
        return "".join(traceback.format_exception(failure))
    return ""


def _shortened(ground: Path, history: Sequence[Act], failure: str) -> tuple[Sequence[Act], str]:
    """Leave out acts, and the troubles around them, as long as something is still wrong."""
    for shorter in _shorter(history):
        if still := _failure(ground, shorter):
            return _shortened(ground, shorter, still)
    return history, failure


def _shorter(history: Sequence[Act]) -> Iterator[Sequence[Act]]:
    """Give a history without its second half, then without each act, then without each trouble around one."""
    if len(history) > 3:
        yield history[: len(history) // 2]
    for index in reversed(range(len(history))):
        yield [*history[:index], *history[index + 1 :]]
    for index, act in enumerate(history):
        if hasattr(act, "act"):
            yield [*history[:index], act.act, *history[index + 1 :]]


def _shown(history: Sequence[Act], failure: str) -> str:
    acts = "".join(f"    {act!r},\n" for act in history)
    return f"{failure}\nafter the history\n[\n{acts}]"
