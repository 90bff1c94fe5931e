"""JSON documents with values that Stripe would not send."""

import copy
import random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    10**12,
    2**31,
    2**63,
    -(2**63) - 1,
    10**40,
    1e308,
    "",
    " ",
    "0",
    "11500",
    "paid",
    "succeeded",
    "usd",
    "JPY",
    "pi_of_another_account",
    "x" * 400,
    "a\u0000b",
    "\ud800",
    "𠮷野家<script>",
    "%s%n{0}",
    [],
    [[]],
    ["x"],
    {},
    {"id": "x"},
    {"object": "charge"},
    [[[[[[[[[[]]]]]]]]]],
)


def mutate(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Change one to three paths: remove, add, or insert an odd value."""
    changed = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 2, 3))):
        within = [path for path in paths(changed) if path[:2] == ("data", "object") and len(path) > 2]
        # mostly in the object, because what surrounds it is refused at once
        path = rng.choice(within if within and rng.random() < 0.85 else paths(changed) or [("id",)])
        holder: Any = changed
        for key in path[:-1]:
            holder = holder[key]
        action = rng.random()
        if action < 0.3:
            del holder[path[-1]]
        elif action < 0.4 and isinstance(holder, dict):
            holder["surprise"] = rng.choice(ODD_VALUES)
        else:
            holder[path[-1]] = copy.deepcopy(rng.choice(ODD_VALUES))
        if not changed.get("data"):
            break
    return changed


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every place within a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, item in inner:
        found += paths(item, (*path, key))
    return found
