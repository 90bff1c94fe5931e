#!/usr/bin/env python3
"""Make `.venv` ready: environment, pinned packages, compiled translations. Quick when nothing changed.

Standard library alone, and a syntax that an old Python still reads, so that it can say what is wrong:

    python3 scripts/bootstrap.py          what the shop needs
    python3 scripts/bootstrap.py --dev    what its tests need besides
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
NEWEST_FIRST = ["python3.14", "python3.13", "python3.12", "python3.11"]


def stop(message):  # type: (str) -> None
    """End with a message a newcomer can act on."""
    sys.stderr.write("\n" + message + "\n\n")
    sys.exit(1)


def use_a_new_python():  # type: () -> None
    """Go on under Python 3.11 or newer, or say that there is none."""
    if sys.version_info >= (3, 11):
        return
    for name in NEWEST_FIRST:
        path = shutil.which(name)
        # a version manager leaves names behind that answer with an error: ask before trusting one
        if (
            path
            and subprocess.call([path, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
        ):
            os.execv(path, [path] + sys.argv)
    stop(
        "Python 3.11 or newer is needed; %s is %d.%d.\n"
        "Install one, or name it: make PYTHON=/path/to/python3.11 …" % (sys.executable, *sys.version_info[:2])
    )


def make_venv():  # type: () -> None
    """Create `.venv` unless a working one of this Python version is there."""
    if os.path.exists(VENV_PYTHON):
        asked = subprocess.run(
            [VENV_PYTHON, "-c", "import sys, pip; print(sys.version_info >= (3, 11))"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if asked.stdout.strip() == b"True":
            return
        print("The environment in .venv is broken or of an old Python: making it anew.")
        shutil.rmtree(VENV, ignore_errors=True)
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        stop(
            "This Python can not make virtual environments.\n"
            "On Debian and Ubuntu: apt install python%d.%d-venv" % sys.version_info[:2]
        )
    print("Making the environment in .venv (Python %d.%d) …" % sys.version_info[:2])
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        stop("Making .venv failed: is there space on the disk, and is the python3-venv package whole?")


def install(requirements):  # type: (str) -> None
    """Install the pinned packages when the file differs from what was installed last."""
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
        stop(
            "The packages could not be installed; pip's own words are above.\n"
            "  - No network, or a proxy between? The first start needs the package index that pip is set up for.\n"
            "  - THESE PACKAGES DO NOT MATCH THE HASHES: do not work around it; tell the maintainers.\n"
            "Then give the same command again: what is there already is not fetched again."
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
                stop("The translation %s can not be compiled." % os.path.relpath(source, ROOT))


def main():  # type: () -> None
    """Do what is missing, one `make` at a time."""
    use_a_new_python()
    with open(os.path.abspath(__file__)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_venv()
        install("requirements-dev.txt" if "--dev" in sys.argv[1:] else "requirements.txt")
        compile_translations()


if __name__ == "__main__":
    main()
