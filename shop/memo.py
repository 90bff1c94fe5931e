"""Pages remembered by the facts they show: the same facts are the same bytes, so nothing ever needs to be forgotten."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class Memo:
    """Keep what was made last, up to `size` pieces; safe between threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return what was made for `key`, or make it; two threads may make the same at the same time."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
        return made
