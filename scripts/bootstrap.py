#!/usr/bin/env python3
"""Prepare `.venv`: environment, pinned packages, compiled translations. Quick if nothing has changed.

Uses only the standard library and a syntax that an old Python can parse, so that it can report the old
version:

    python3 scripts/bootstrap.py          packages of the shop
    python3 scripts/bootstrap.py --dev    packages of its tests, too
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
PYTHON_NAMES = ["python3.14", "python3.13", "python3.12", "python3.11"]


def exit_with(message):  # type: (str) -> None
    """Exit with a message that says what to do."""
    sys.stderr.write("\n" + message + "\n\n")
    sys.exit(1)


def use_new_python():  # type: () -> None
    """Restart under Python 3.11 or newer if this one is older; exit if there is none."""
    if sys.version_info >= (3, 11):
        return
    for name in PYTHON_NAMES:
        path = shutil.which(name)
        # a version manager may leave names that fail when called: try before using one
        if (
            path
            and subprocess.call([path, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
        ):
            os.execv(path, [path] + sys.argv)
    exit_with(
        "Python 3.11 or newer is needed; %s is %d.%d.\n"
        "Install one, or name it: make PYTHON=/path/to/python3.11 …" % (sys.executable, *sys.version_info[:2])
    )


def make_venv():  # type: () -> None
    """Create `.venv` unless it works and has Python 3.11 or newer."""
    if os.path.exists(VENV_PYTHON):
        result = subprocess.run(
            [VENV_PYTHON, "-c", "import sys, pip; print(sys.version_info >= (3, 11))"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if result.stdout.strip() == b"True":
            return
        print("The environment in .venv is broken or has an old Python: it is made again.")
        shutil.rmtree(VENV, ignore_errors=True)
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        exit_with(
            "This Python cannot make virtual environments.\n"
            "On Debian and Ubuntu: apt install python%d.%d-venv" % sys.version_info[:2]
        )
    print("Making the environment in .venv (Python %d.%d) …" % sys.version_info[:2])
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        exit_with(
            "Making .venv failed: is there space on the disk, and is the package python3-venv complete?"
        )


def install(requirements):  # type: (str) -> None
    """Install the pinned packages if the file has changed since the last installation."""
    with open(os.path.join(ROOT, requirements), "rb") as file:
        fingerprint = hashlib.sha256(file.read()).hexdigest()
    marker = os.path.join(VENV, "installed-" + requirements)
    if os.path.exists(marker):
        with open(marker) as file:
            if file.read() == fingerprint:
                return
    print("Installing the packages of %s (a minute or two the first time) …" % requirements)
    sys.stdout.flush()
    code = subprocess.call(
        [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        + ["--require-hashes", "--requirement", os.path.join(ROOT, requirements)]
    )
    if code:
        exit_with(
            "The packages could not be installed; pip's messages are above.\n"
            "  - No network, or a proxy? The first start needs the package index of pip's configuration.\n"
            "  - THESE PACKAGES DO NOT MATCH THE HASHES: do not work around it; inform the maintainers.\n"
            "Then repeat the command: what has been fetched is not fetched again."
        )
    with open(marker, "w") as file:
        file.write(fingerprint)


def compile_translations():  # type: () -> None
    """Compile each translation that is newer than its compiled form."""
    for app in ("kikaku", "ledger", "shop", "ops"):
        locale = os.path.join(ROOT, app, "locale")
        for language in sorted(os.listdir(locale)) if os.path.isdir(locale) else []:
            source = os.path.join(locale, language, "LC_MESSAGES", "django.po")
            target = source[:-3] + ".mo"
            if not os.path.exists(source):
                continue
            if os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(source):
                continue
            code = subprocess.call(
                [os.path.join(VENV, "bin", "pybabel"), "--quiet", "compile", "--use-fuzzy"]
                + ["--input-file", source, "--output-file", target]
            )
            if code:
                exit_with("The translation %s cannot be compiled." % os.path.relpath(source, ROOT))


def main():  # type: () -> None
    """Do the missing steps, under a lock: one `make` at a time."""
    use_new_python()
    with open(os.path.abspath(__file__)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_venv()
        install("requirements-dev.txt" if "--dev" in sys.argv[1:] else "requirements.txt")
        compile_translations()


if __name__ == "__main__":
    main()
