"""Every command, as the command line lists them: on terminals of all kinds, with nowhere to print to, and where it may
not read or write. It answers with its result or with one sentence, never with a traceback.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from leveret.node.cli import app
from tests.clients.command_line import WIDTH, good, leveret, uncoloured
from tests.clients.forked import Forked, Outcome

NOBODY = 65_534
BECOME_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
POWERS = ("dac_override", "dac_read_search", "fowner", "chown", "setuid", "setgid")
LOSE_POWERS = ("setpriv", f"--bounding-set={','.join(f'-{power}' for power in POWERS)}")
WRITES_COLOUR = re.compile(r"\x1b\[(?:\d+;)*[34]\d[;m]")
FULL = "leveret: cannot write to standard output: No space left on device\n"

VALUES = {
    "name": "a",
    "node": "a",
    "password": "secret",
    "queue": "q",
    "user": "guest",
    "configure": ".*",
    "write": ".*",
    "read": ".*",
    "exchange": "amq.topic",
    "pattern": "^q",
    "definition": '{"max-length": 1}',
    "limit": "max-queues",
    "value": "1",
    "component": "shovel",
    "source": "amq.topic",
    "destination": "q",
    "to": "q",
    "check": "alarms",
    "per_second": "10",
    "change": "x-max-length=10",
    "held_id": "1796067940124-15",
    "prefetch": "1",
    "url": "http://guest:guest@127.0.0.1:1",
}
"""What a command is given as an argument of this name. One that is not here is a file, except `target`."""
OPTIONS = {
    ("messages", "publish"): ("--body", "x"),
    ("messages", "move"): ("--to", "other", "--all", "--yes"),
    ("messages", "copy"): ("--to", "other", "--all", "--yes"),
    ("messages", "delete"): ("--all", "--yes"),
    ("messages", "requeue"): ("--all", "--yes"),
    ("messages", "redrive"): ("--yes",),
    ("messages", "edit"): ("--set-body", "x", "--all", "--yes"),
    ("top",): ("--once",),
    ("serve",): ("--port", "0"),
    ("migrate",): ("--from", "http://guest:guest@127.0.0.1:1"),
}
"""What a command is given beside its arguments."""
HAS_MORE_TO_SAY = ("doctor",)
"""It says a line of each thing that it looks at, also of a directory that may not be used."""


def walk(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The words of a command, or of all below it."""
    if getattr(command, "commands", None) is None:
        yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, *path, name)


ALL = dict(walk(typer.main.get_command(app)))
WITH_DATA = [words for words, command in ALL.items() if any(each.name == "data_dir" for each in command.params)]
COMMANDS = pytest.mark.parametrize("words", ALL, ids=" ".join)
REFUSING = [words for words in WITH_DATA if words != HAS_MORE_TO_SAY]
READING = [words for words in ALL if words not in WITH_DATA and words[0] != "profiles"]
ENDING = pytest.mark.parametrize("words", [words for words in ALL if words != ("serve",)], ids=" ".join)


def complete(words: tuple[str, ...], file: Path, target: Path) -> tuple[str, ...]:
    """A command with arguments that it takes. file: for it to read, target: for it to make."""
    given = list(words)
    for parameter in ALL[words].params:
        name = parameter.name
        if parameter.param_type_name == "argument" and (parameter.required or name in VALUES):
            given.append(VALUES.get(name, str(target if name == "target" else file)))
        elif name == "vhost":
            given += ["--vhost", "/"]
    return (*given, *OPTIONS.get(words, ()))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="leveret-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def origin(place: Path) -> Path:
    """A data directory with something in it."""
    data = place / "origin"
    for words in (("users", "add", "a", "x"), ("vhosts", "add", "a"), ("policies", "set", "a", "^a", '{"expires": 1}')):
        good(leveret(*words, "--data-dir", str(data)))
    return data


@pytest.fixture
def data(origin: Path) -> Iterator[Path]:
    """A copy of it."""
    copy = Path(tempfile.mkdtemp(dir=origin.parent)) / "data"
    shutil.copytree(origin, copy)
    yield copy
    shutil.rmtree(copy.parent)


@pytest.fixture(scope="module")
def run() -> Iterator[Forked]:
    """Runs commands."""
    forked = Forked()
    yield forked
    assert forked.close() == ""


@pytest.fixture(scope="module", params=["nobody", "powerless root"])
def weak(request: pytest.FixtureRequest) -> Iterator[Forked]:
    """Runs commands as another user, and as root who may not do what root may do."""
    way = BECOME_NOBODY if request.param == "nobody" else LOSE_POWERS
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("this needs root and setpriv, to become somebody else")
    trial = subprocess.run([*way, sys.executable, "-c", "import leveret.node.main"], capture_output=True, check=False)
    if trial.returncode != 0:
        pytest.skip(f"{request.param} cannot run this Python or read these sources: {trial.stderr.decode()[-200:]}")
    forked = Forked(*way)
    yield forked
    assert forked.close() == ""


def sentence(outcome: Outcome, status: int = 1) -> str:
    """The one sentence with which a command has answered."""
    assert (outcome.status, outcome.out) == (status, ""), outcome
    assert re.fullmatch(r"leveret: .+\n", outcome.err), outcome.err
    return outcome.err


# -- terminals


TERMINALS: dict[str, tuple[dict[str, str], bool]] = {
    "colours": ({}, True),
    "NO_COLOR": ({"NO_COLOR": "1"}, False),
    "dumb": ({"TERM": "dumb"}, False),
    "FORCE_COLOR": ({"FORCE_COLOR": "1"}, True),
}


@pytest.mark.parametrize("kind", TERMINALS)
@COMMANDS
def test_the_help_on_a_terminal(words: tuple[str, ...], kind: str, run: Forked) -> None:
    env, has_colours = TERMINALS[kind]
    shown = run(*words, "--help", stdout="terminal", **env)
    assert shown.status == 0
    text = uncoloured(shown.out)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert (WRITES_COLOUR.search(shown.out) is not None) == has_colours
    # every line of a help text, in the column of its own, and every option in full
    missing = [name for each in ALL[words].params for name in each.opts if name.startswith("-") and name not in text]
    assert missing == []
    columns = "".join(text.replace("│", " ").split())
    for parameter in ALL[words].params:
        assert "".join((parameter.help or "").split()) in columns or in_pieces(parameter.help, text)


def in_pieces(help_text: str, text: str) -> bool:
    """Whether all words of a help text are there, in its order, and all brackets."""
    at = 0
    for word in help_text.split():
        at = text.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


@pytest.mark.parametrize("kind", TERMINALS)
@ENDING
def test_a_command_on_a_terminal(words: tuple[str, ...], kind: str, run: Forked, data: Path) -> None:
    file = data.parent / "file"
    file.touch()
    env, has_colours = TERMINALS[kind]
    given = complete(words, file, data.parent / "copy")
    shown = run(*given, stdout="terminal", LEVERET_DATA_DIR=str(data), **env)
    assert shown.status in (0, 1), "VALUES lacks what this command needs"
    assert "Traceback" not in shown.out
    assert has_colours or not WRITES_COLOUR.search(shown.out)


# -- nowhere to print to


@ENDING
def test_there_is_nowhere_to_print_to(words: tuple[str, ...], run: Forked, origin: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    def outcome(stdout: str) -> Outcome:
        data = tmp_path / "data" / stdout
        shutil.copytree(origin, data)
        given = complete(words, file, tmp_path / f"copy-{stdout}")
        return run(*given, stdout=stdout, LEVERET_DATA_DIR=str(data))

    usual = outcome("file")
    assert usual.status in (0, 1)
    notes = usual.err
    if usual.status == 1 and not usual.out:
        sentence(usual)
    for stdout in ("full", "unread"):
        found = outcome(stdout)
        if usual.out:
            assert found.status == 1
            assert found.err in ((notes + FULL, FULL) if stdout == "full" else (notes, ""))
        else:
            assert (found.status, found.err) == (usual.status, uncopied(notes, "file", stdout))
    for stdout in ("none", "nothing"):
        found = outcome(stdout)
        assert found.status == usual.status
        assert found.err == ("" if stdout == "nothing" else uncopied(notes, "file", stdout))


def uncopied(text: str, one: str, other: str) -> str:
    """What is said of one data directory, as it is said of another."""
    return text.replace(f"/{one}'", f"/{other}'")


# -- where a command may not read or write


@pytest.fixture(scope="module")
def barred(origin: Path, weak: Forked) -> Path:
    """Data directories of somebody else, each barred in another way."""
    owner = 0 if weak.way == BECOME_NOBODY else NOBODY
    base = Path(tempfile.mkdtemp(dir=origin.parent))
    base.chmod(0o755)
    for name, mode in (("closed", 0o700), ("open", 0o755), ("under", 0o755)):
        data = base / name / "data" if name == "under" else base / name
        shutil.copytree(origin, data)
        for path in (data, *data.iterdir()):
            os.chown(path, owner, owner)
        data.chmod(mode)
    os.chown(base / "under", owner, owner)
    (base / "under").chmod(0o700)
    (base / "file").touch(mode=0o600)
    os.chown(base / "file", owner, owner)
    return base


@pytest.mark.parametrize("where", ["closed", "open", "under/data", "file", "closed/new/data", "open/new"])
@pytest.mark.parametrize("words", REFUSING, ids=" ".join)
def test_a_data_directory_that_may_not_be_used(
    words: tuple[str, ...], where: str, weak: Forked, barred: Path, tmp_path: Path
) -> None:
    readable = barred.parent / "readable"
    readable.touch(mode=0o644)
    given = complete(words, readable, tmp_path / "copy")
    sentence(weak(*given, "--data-dir", str(barred / where)), 2 if words == ("serve",) else 1)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_file_that_may_not_be_read(words: tuple[str, ...], weak: Forked, barred: Path) -> None:
    given = complete(words, barred / "file", barred / "copy")
    sentence(weak(*given), 2 if words == ("recording", "compare") else 1)


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("words", REFUSING, ids=" ".join)
def test_a_data_directory_that_cannot_be_trusted(
    words: tuple[str, ...], is_named: bool, run: Forked, data: Path
) -> None:
    if not is_named and os.geteuid() != 0:
        pytest.skip("this needs root, to make a directory of somebody else")
    found = data.rename(data.parent / "leveret-data")
    if is_named:
        found.chmod(0o777)
    else:
        os.chown(found, NOBODY, NOBODY)
    file = data.parent / "file"
    file.touch()
    given = complete(words, file, data.parent / "copy")
    before = sorted(path.name for path in found.iterdir())
    options = ("--data-dir", str(found)) if is_named else ()
    told = sentence(run(*given, *options, cwd=found.parent), 2 if words == ("serve",) else 1)
    assert ("any user can write to" if is_named else "belongs to the user 'nobody'") in told
    assert sorted(path.name for path in found.iterdir()) == before
    found.rename(data)
