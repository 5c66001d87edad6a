"""Planted faults: mistakes that are put into a copy of the broker, and that an attack on it has to find.

A fault is a file in faults/: what is replaced in which file of the source, which scenarios meet it, and the kinds of
findings of which there has to be one. Where the text that is to be replaced is not in the file exactly once, the fault
does not apply any more, and has to be planted anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.hostile.stream import ROOT

PLACE: Final = Path(__file__).with_name("faults")
COPIED: Final = ("leveret", "tests", "tools", "spec", "bench")
LIMIT_S: Final = 240.0
ENDING_S: Final = 60.0


class DoesNotApply(Exception):
    """The source is not what the fault was made for; the text says where."""


@dataclass(frozen=True)
class Edit:
    """One replacement in a file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    """A mistake. scenarios: that meet it. finds: kinds of findings, one is enough."""

    name: str
    subject: str
    scenarios: tuple[str, ...]
    finds: tuple[str, ...]
    edits: tuple[Edit, ...]

    def plant(self, tree: Path) -> None:
        """Put it into a tree of sources. Raises: DoesNotApply."""
        for edit in self.edits:
            path = tree / edit.file
            text = path.read_text() if path.exists() else ""
            count = text.count(edit.old)
            if count != 1:
                raise DoesNotApply(f"fault {self.name}: {edit.file} has its text {count} times, not once:\n{edit.old}")
            path.write_text(text.replace(edit.old, edit.new))


def _read(path: Path) -> Fault:
    said = tomllib.loads(path.read_text())
    edits = tuple(Edit(each["file"], each["old"], each["new"]) for each in said["edit"])
    return Fault(path.stem, said["subject"], tuple(said["scenarios"]), tuple(said["finds"]), edits)


FAULTS: Final = {path.stem: _read(path) for path in sorted(PLACE.glob("*.toml"))}


def copy_tree(to: Path) -> None:
    """Copy what is needed to run from source, without what was compiled of it."""
    for name in COPIED:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.pyc"))


def attack(fault: Fault, everything: bool) -> tuple[list[dict[str, str]], str]:
    """Attack a broker with the fault. everything: the whole short attack. Returns: the findings, and what was said."""
    with tempfile.TemporaryDirectory(prefix="leveret-planted-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        fault.plant(tree)
        told = tree / "findings.json"
        command = [sys.executable, "tools/hostile.py", "--short", "--seed", "1", "--json", str(told)]
        if not everything:
            command += ["--only", *fault.scenarios]
        env = {**os.environ, "PYTHONPATH": str(tree), "TMPDIR": folder}
        with subprocess.Popen(
            command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                said, _ = process.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                process.terminate()  # so that it takes away what it has mounted and started
                said, _ = process.communicate(timeout=ENDING_S)
        findings = json.loads(told.read_text()) if told.exists() else []
        return findings, said


def find(fault: Fault, everything: bool = False) -> tuple[bool, str]:
    """Attack a broker with the fault. Returns: whether it was found, and a line about that."""
    began = time.monotonic()
    findings, said = attack(fault, everything)
    fitting = [each for each in findings if each["kind"] in fault.finds]
    took = time.monotonic() - began
    line = f"{took:7.1f} s  {fault.name:22} {len(findings):3} findings, {len(fitting)} of the kind"
    if fitting:
        return True, f"{line}: {fitting[0]['kind']} [{fitting[0]['phase']}] {fitting[0]['text'][:150]}"
    return False, f"{line}  NOT FOUND\n{said[-1500:]}"


def prove(names: Iterable[str], is_quick: bool, say: Callable[[str], None]) -> int:
    """Plant one fault after the other. is_quick: attack with the scenarios that meet it, and nothing else.

    Returns: the exit code, 1 when one is not found.
    """
    missed = []
    for name in names:
        try:
            is_found, line = find(FAULTS[name], not is_quick)
        except DoesNotApply as error:
            is_found, line = False, str(error)
        say(line)
        if not is_found:
            missed.append(name)
    say(f"not found: {', '.join(missed)}" if missed else "all planted faults were found")
    return 1 if missed else 0
