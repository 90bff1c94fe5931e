"""What the bench prints: a figure beside its goal."""

from dataclasses import dataclass

NAME, FIGURE = 44, 18  # characters


@dataclass(frozen=True)
class Figure:
    """Something that was measured."""

    name: str
    value: float | None  # None: there is no such thing yet
    unit: str  # "× floor", "queries", "ms", "s", "MB", …
    goal: float | None = None  # at most; None: for information
    note: str = ""

    def line(self) -> str:
        """Write it as a line of the report."""
        figure = "–" if self.value is None else f"{_number(self.value)} {self.unit}"
        goal = "" if self.goal is None else f"goal ≤ {_number(self.goal)}"
        verdict = "" if self.goal is None else "reached" if self.reached else "NOT REACHED"
        return f"  {self.name:<{NAME}}{figure:>{FIGURE}}   {goal:<13} {verdict:<12} {self.note}".rstrip()

    @property
    def reached(self) -> bool:
        """Whether the goal, if there is one, holds."""
        return self.goal is None or (self.value is not None and self.value <= self.goal)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def heading(text: str) -> str:
    """Write the heading of a part."""
    return f"\n{text}\n{'─' * len(text)}"
