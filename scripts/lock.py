#!/usr/bin/env python3
"""Compile requirements*.in into requirements*.txt: every package pinned, with hashes for all platforms.

make lock            keep the versions that still fit
make lock UPGRADE=1  take the newest
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Compile both files; no package index is written into them."""
    for name in ("requirements", "requirements-dev"):
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--universal"]
            + [
                "--no-strip-extras"
            ]  # pip takes a newer `coverage[toml]` for an unpinned package where `coverage` alone is pinned
            + ["--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"]
            + ["--custom-compile-command", "make lock"]
            + (
                ["--constraint", "requirements.txt"] if name == "requirements-dev" else []
            )  # the same versions in both
            + [f"{name}.in", "--output-file", f"{name}.txt", *sys.argv[1:]],
            cwd=ROOT,
            check=True,
        )


if __name__ == "__main__":
    main()
