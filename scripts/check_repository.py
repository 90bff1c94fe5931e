#!/usr/bin/env python3
"""Check what no other tool checks: requirements are in step, nothing belongs to one machine.

1. requirements*.txt pin every package of requirements*.in, with hashes, and agree on every version.
2. No package index is named in them, and no file of the repository names a path of one machine.
3. The workflows run every step of .ci/run.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/[\w.-]+")


def normal(name: str) -> str:
    """Return a package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(name: str) -> dict[str, set[str]]:
    """Return package → versions of a compiled file (several where markers choose)."""
    versions: dict[str, set[str]] = {}
    for package, version in NAME.findall((ROOT / name).read_text()):
        versions.setdefault(normal(package), set()).add(version)
    return versions


def wanted(name: str) -> set[str]:
    """Return the packages that an .in file asks for."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return {normal(re.split(r"[\[~=<>! ]", line)[0]) for line in lines if line and not line.startswith("-")}


def problems() -> list[str]:
    """Find everything that is wrong."""
    found: list[str] = []
    run, dev = pinned("requirements.txt"), pinned("requirements-dev.txt")
    for source, compiled in (
        ("requirements.in", run),
        ("requirements.in", dev),
        ("requirements-dev.in", dev),
    ):
        found += [
            f"{source}: {package} is not pinned: make lock"
            for package in sorted(wanted(source) - set(compiled))
        ]
    found += [
        f"{package}: {sorted(run[package])} in requirements.txt, "
        f"{sorted(dev[package])} in requirements-dev.txt"
        for package in sorted(set(run) & set(dev))
        if run[package] != dev[package]
    ]
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        if re.search(r"^\s*(--(extra-)?index-url|--find-links|-f |-i )|https?://", text, re.MULTILINE):
            found.append(f"{name} names a package index")
        for block in re.split(r"\n(?=\S)", text):
            if NAME.match(block) and "--hash=sha256:" not in block:
                found.append(f"{name}: {block.splitlines()[0]} has no hash")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for path in filter(None, listed.split("\0")):
        try:
            text = (ROOT / path).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{path}: {match} is a path of one machine" for match in sorted(set(MACHINE.findall(text)))]
    return found


def unused_steps() -> list[str]:
    """Return the differences between the steps of .ci/run and those that the workflows run as jobs."""
    found = []
    for option, workflow in (("--list", "ci.yml"), ("--list-nightly", "nightly.yml")):
        steps = subprocess.run(
            ["bash", ".ci/run", option], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        matrix = re.search(r"step: \[(.*)\]", (ROOT / ".github" / "workflows" / workflow).read_text())
        jobs = re.split(r",\s*", matrix[1]) if matrix else []
        if steps != jobs:
            found.append(f"{workflow} runs the steps {jobs}, .ci/run has {steps}")
    return found


if __name__ == "__main__":
    lines = problems() + unused_steps()
    print("\n".join(lines) or "The repository is in order.")
    sys.exit(bool(lines))
