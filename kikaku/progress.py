"""A progress bar for long-running commands, on standard error."""

import sys
import time
from typing import TextIO

BAR_WIDTH = 30  # characters
REDRAW_SECONDS = 0.1


class Progress:
    """Progress bar: redrawn in place on a terminal, else a line for each tenth of the total."""

    def __init__(self, label: str, total: int, *, stream: TextIO | None = None) -> None:
        self.label = label
        self.total = total
        self.stream = stream or sys.stderr
        self.started = time.monotonic()
        self._drawn_at = 0.0
        self._tenth = 0

    def __call__(self, done: int) -> None:
        """Show that `done` items of the total are done."""
        if not self.total:
            return
        now = time.monotonic()
        last = done >= self.total
        if self.stream.isatty():
            if now - self._drawn_at < REDRAW_SECONDS and not last:
                return
            self._drawn_at = now
            self.stream.write("\r" + self._line(done, now) + ("\n" if last else ""))
        else:
            tenth = done * 10 // self.total
            if tenth == self._tenth:
                return
            self._tenth = tenth
            self.stream.write(self._line(done, now) + "\n")
        self.stream.flush()

    def _line(self, done: int, now: float) -> str:
        filled = min(done * BAR_WIDTH // self.total, BAR_WIDTH)
        rate = done / max(now - self.started, 0.001)
        bar = "█" * filled + " " * (BAR_WIDTH - filled)
        return f"{self.label} ▕{bar}▏ {done:,}/{self.total:,}  {rate:,.0f}/s"
