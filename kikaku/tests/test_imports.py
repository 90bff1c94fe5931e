"""No test imports another test: what tests share lives in `testing` packages or in helper modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)


def modules_for_tests() -> list[Path]:
    """Return the modules below each folder `tests` or `testing`."""
    return [
        path
        for app in ("kikaku", "ledger", "shop", "ops")
        for path in sorted((ROOT / app).rglob("*.py"))
        if not {"tests", "testing"}.isdisjoint(folders := path.relative_to(ROOT).parts[:-1])
        and "node_modules" not in folders
    ]


def imported_names(source: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, relative ones without their package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def test_no_module_imports_a_test() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules_for_tests()
        for name in imported_names(path.read_text())
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert Path(__file__) in modules_for_tests()
    assert found == []
