"""The lines that the benchmark prints: a figure beside its goal."""

from dataclasses import dataclass

NAME_WIDTH, FIGURE_WIDTH = 44, 18  # characters


@dataclass(frozen=True)
class Figure:
    """A measured value."""

    name: str
    value: float | None  # None: could not be measured
    unit: str  # "× floor", "queries", "ms", "s", "MB", …
    goal: float | None = None  # at most; None: for information
    note: str = ""

    def line(self) -> str:
        """Return its line of the report."""
        figure = "–" if self.value is None else f"{_number(self.value)} {self.unit}"
        goal = "" if self.goal is None else f"goal ≤ {_number(self.goal)}"
        verdict = "" if self.goal is None else "reached" if self.reached else "NOT REACHED"
        name = f"  {self.name:<{NAME_WIDTH}}{figure:>{FIGURE_WIDTH}}"
        return f"{name}   {goal:<13} {verdict:<12} {self.note}".rstrip()

    @property
    def reached(self) -> bool:
        """Return whether the goal, if there is one, is reached."""
        return self.goal is None or (self.value is not None and self.value <= self.goal)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def heading(text: str) -> str:
    """Return the heading of a part."""
    return f"\n{text}\n{'─' * len(text)}"
