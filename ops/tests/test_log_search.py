"""docs/MONITORING.md shows how to search the log: its commands are run on lines as production writes them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

DOCUMENT = (settings.BASE_DIR / "docs" / "MONITORING.md").read_text()
SECTION = DOCUMENT.split("\n## Logs\n")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^    ((?:wrangler|jq) .*?)\s+# (.+)$", SECTION, re.MULTILINE)
EXAMPLE = json.loads(re.findall(r'^    (\{"event".*)$', SECTION, re.MULTILINE)[0])

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def results(what: str, folder: Path) -> list[str]:
    """Return the lines that the command for `what` prints of a log, from a file or from the Worker's tail."""
    lines = [
        json.dumps(line)
        for line in (
            EXAMPLE,
            EXAMPLE | {"request_id": "1f0c2ab34d00002b", "route": "order", "status": 503, "ms": 812.5},
            EXAMPLE | {"request_id": "1f0c2ab34d00002c"},
            {"event": "mail: sent", "level": "info", "request_id": EXAMPLE["request_id"]},
        )
    ] + ["Fatal Python error: no JSON", "17"]
    (folder / "shop.log").write_text("\n".join(lines) + "\n")
    tail = json.dumps({"outcome": "ok", "logs": [{"message": lines, "level": "log"}]})
    [command] = [command for command, comment in COMMANDS if comment == what]
    command = command.removeprefix("wrangler tail --format json | ")
    done = subprocess.run(
        command, shell=True, cwd=folder, input=tail, capture_output=True, text=True, check=True, timeout=10
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_each_command_of_the_document_finds_its_lines(tmp_path: Path) -> None:
    assert [json.loads(line)["status"] for line in results("failing requests", tmp_path)] == [503]
    found = [json.loads(line)["event"] for line in results("all of one request", tmp_path)]
    assert found == ["request", "mail: sent"]
    assert [json.loads(line) for line in results("slow ones", tmp_path)] == [
        {"route": "order", "ms": 812.5, "queries": 1}
    ]
    assert [line.split() for line in results("the most frequent", tmp_path)] == [
        ["2", "product"],
        ["1", "order"],
    ]
    assert len(COMMANDS) == 4
