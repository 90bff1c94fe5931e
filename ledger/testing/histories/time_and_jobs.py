"""Time passes, and what the clock starts: the scheduled jobs and the nightly close."""

from dataclasses import dataclass
from datetime import timedelta

from kikaku.days import business_day, day_bounds
from ledger.testing.histories.world import JOBS, World


@dataclass(frozen=True)
class Wait:
    """Time passes without any of our code running."""

    seconds: int

    def __call__(self, world: World) -> None:
        world.wait(timedelta(seconds=self.seconds))


@dataclass(frozen=True)
class WaitForMidnight:
    """Time passes until midnight in Japan, plus some seconds (negative: before midnight)."""

    seconds: int = 0

    def __call__(self, world: World) -> None:
        _start, end = day_bounds(business_day(world.now))
        world.wait(end + timedelta(seconds=self.seconds) - world.now)


@dataclass(frozen=True)
class Run:
    """Scheduled jobs run."""

    jobs: tuple[str, ...] = tuple(JOBS)

    def __call__(self, world: World) -> None:
        world.run(*self.jobs)


@dataclass(frozen=True)
class Close:
    """The nightly job closes every day that has ended."""

    def __call__(self, world: World) -> None:
        world.close()
