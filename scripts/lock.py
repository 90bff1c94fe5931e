#!/usr/bin/env python3
"""Compile requirements*.in into requirements*.txt: every package pinned, with hashes for all platforms.

make lock            keep the present versions where possible
make lock UPGRADE=1  take the newest versions
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Compile both files, without the address of the package index."""
    for name in ("requirements", "requirements-dev"):
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--generate-hashes",
            "--universal",
        ]
        # else pip would take a newer `coverage[toml]` where only `coverage` is pinned
        command += ["--no-strip-extras"]
        command += ["--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--custom-compile-command", "make lock"]
        if name == "requirements-dev":  # the same versions in both files
            command += ["--constraint", "requirements.txt"]
        command += [f"{name}.in", "--output-file", f"{name}.txt", *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
