"""Clients that are no part of this project, in a folder outside of it.

`LEVERET_TEST_CLIENTS` names the folder. What is not there yet is fetched, with pip and apt-get; Debian's packages are
unpacked into it and not installed. Without the variable these tests are skipped: together it is half a gigabyte.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

VARIABLE = "LEVERET_TEST_CLIENTS"
FETCH_S = 600.0
MIRROR = "$(REPO_URI) $(ORIGIN) $(LABEL)"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made once. make: fills it. Skips the test where there is none, and none can be made."""
    given = os.environ.get(VARIABLE)
    if not given:
        pytest.skip(f"{VARIABLE} names no folder for clients")
    home = Path(given).absolute()
    home.mkdir(parents=True, exist_ok=True)
    folder, complete = home / name, home / f"{name}.complete"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                make(folder)
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stderr", None) or error
                pytest.skip(f"{name} cannot be had: {str(said).strip()[-300:]}")
            complete.touch()
    return folder


def fetch(*command: str | Path, folder: Path | None = None) -> str:
    """Run what fetches something, and return what it prints. Raises: SubprocessError."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=True)
    return done.stdout


def virtual_environment(name: str, *packages: str) -> Path:
    """The folder of commands of an environment with these packages of PyPI."""

    def make(folder: Path) -> None:
        fetch(sys.executable, "-m", "venv", folder)
        fetch(folder / "bin" / "pip", "install", "--quiet", *packages)

    return kept(name, make) / "bin"


def debian(name: str, *packages: str, suite: str = "", with_needs: bool = False) -> Path:
    """The files of these packages of Debian, as below /. suite: one that is not this machine's, as sid.

    with_needs: those of packages that they depend on and this machine has not, as well; the named ones in any case.
    """

    def make(folder: Path) -> None:
        apt_get = shutil.which("apt-get")
        if apt_get is None:
            pytest.skip("no apt-get")
        options = _suite(folder, suite) if suite else []
        lists = fetch("apt-cache", *options, "policy", packages[0])
        if "Candidate" not in lists:
            fetch(apt_get, "-qq", *options, "update")
        if with_needs:
            (folder / "archives" / "partial").mkdir(parents=True)
            options += _options({"Dir::Cache": folder, "Debug::NoLocking": "1", "APT::Sandbox::User": "root"})
            options += ["-y", "--no-install-recommends", "--reinstall", "--download-only"]
            fetch(apt_get, "-qq", *options, "install", *packages)
        else:
            fetch(apt_get, "-qq", *options, "download", *packages, folder=folder)
        for file in sorted(folder.rglob("*.deb")):
            fetch("dpkg-deb", "-x", file, folder)
            file.unlink()

    return kept(name, make)


def _suite(folder: Path, suite: str) -> list[str]:
    """Options of apt for another suite of Debian, with lists of its own."""
    state = folder / "apt"
    (state / "lists" / "partial").mkdir(parents=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True)
    known = fetch("apt-get", "indextargets", "--format", MIRROR, "Created-By: Packages").splitlines()
    mirrors = [line.split()[0] for line in known if line.endswith(" Debian Debian")]
    if not mirrors:
        pytest.skip("apt knows no mirror of Debian")
    (state / "sources.list").write_text(f"deb [trusted=yes] {mirrors[0]} {suite} main\n")
    return _options(
        {
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": state / "lists",
            "Dir::Cache": state / "cache",
            "APT::Sandbox::User": "root",
        }
    )


def _options(settings: dict[str, object]) -> list[str]:
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
