"""Our Worker's modules, run by Node."""

import json
import os
import subprocess
from typing import Any

import pytest

from kikaku.d1.engine import EngineUnavailable, node_and_npm
from ops.testing.running import ROOT

EDGE = ROOT / "kikaku" / "edge"


def run_edge_module(name: str, script: str, argument: object) -> Any:
    """Return what a script logs as JSON; it sees the module as `edge` and its argument as `given`."""
    try:
        node, _npm = node_and_npm()
    except EngineUnavailable as reason:
        if os.environ.get("KIKAKU_REQUIRE") == "all":
            raise
        pytest.skip(str(reason))
    prelude = f"""
        import * as edge from {json.dumps((EDGE / name).as_uri())};
        const given = JSON.parse(process.argv[1]);
    """
    done = subprocess.run(
        [node, "--input-type=module", "--no-warnings", "--eval", prelude + script, json.dumps(argument)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)
