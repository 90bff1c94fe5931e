#!/usr/bin/env python3
"""Run Cloudflare's D1 engine on this machine until Ctrl-C.

    .venv/bin/python scripts/d1.py kikaku test_kikaku

The other scripts import the engine's functions from here: the code is in `kikaku/d1/engine`, and this file
puts the repository on the path.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kikaku.d1.engine import (
    Engine,
    EngineUnavailable,
    engine_command,
    install,
    new_secret,
    temporary_engine,
)
from kikaku.d1.engine.__main__ import main

__all__ = ["Engine", "EngineUnavailable", "engine_command", "install", "new_secret", "temporary_engine"]

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ["kikaku", "test_kikaku"]))
