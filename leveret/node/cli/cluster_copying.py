"""The work of `leveret cluster import` and `leveret cluster export`. Imports psycopg, as cluster_work.py does."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import typer

from leveret.cluster.errors import ClusterError
from leveret.cluster.joining import join_alone
from leveret.cluster.store import PostgresStore
from leveret.cluster.url import parse
from leveret.node.cli.output import progress, refuse
from leveret.node.printable import complain, say, say_json
from leveret.store.chunk_store import ChunkStore, StoreError, WriteError
from leveret.store.copying import Copy
from leveret.store.database import Database
from leveret.store.group import Group
from leveret.store.owner import as_owner
from leveret.store.rescue.salvage import open_database, open_to_read

IMPORT = "leveret cluster import"
EXPORT = "leveret cluster export"


def import_directory(url: str, directory: Path, password_file: str | None, as_json: bool) -> None:
    """Copy a data directory to a database. A failure ends the command with the reason and status 1."""
    with _refusing(), _listening() as told:
        name = f"data directory '{directory}'", str(parse(url))
        with contextlib.ExitStack() as stores:
            source = _open(directory, only_reads=True)
            stores.callback(source.close)
            target = _join(url, password_file, IMPORT, only_reads=False)
            copy = Copy(source, target, IMPORT)
            _run(copy, target, None)
    _tell(copy, told, *name, as_json)


def export_directory(url: str, directory: Path, password_file: str | None, as_json: bool) -> None:
    """Copy a database to a data directory. A failure ends the command with the reason and status 1."""
    with _refusing(), _listening() as told:
        name = str(parse(url)), f"data directory '{directory}'"
        with contextlib.ExitStack() as stores:
            source = _join(url, password_file, EXPORT, only_reads=True)
            stores.callback(source.close)
            target = _open(directory, only_reads=False)
            copy = Copy(source, target, EXPORT)
            _run(copy, target, source)
    _tell(copy, told, *name, as_json)


def _join(url: str, password_file: str | None, command: str, only_reads: bool) -> PostgresStore:
    name = f"{command.removeprefix('leveret ')} on {socket.gethostname()}"
    return join_alone(url, password_file or "", name, _ignore, only_reads=only_reads).store


def _open(directory: Path, only_reads: bool) -> Database:
    """The database of a directory, created unless it is only read. Raises: StoreError."""
    try:
        with as_owner(directory):  # afterwards all its files are open
            return open_to_read(directory) if only_reads else open_database(directory)
    except OSError as error:
        raise StoreError(f"cannot use data directory {directory}: {error.strerror}") from None


def _run(copy: Copy, target: ChunkStore, source: PostgresStore | None) -> None:
    """Copy, and close the target. source: of which another node could take possession meanwhile. Raises: StoreError."""
    delivered: dict[int, int] | None = None
    try:
        with progress("Copying") as bar:

            def tell(done: int, total: int) -> None:
                bar(done, total)
                if done == total and source is not None:
                    _check_alone(source)

            copy.run(tell)
        delivered = copy.delivered
    except KeyboardInterrupt:
        refuse(f"interrupted{_remedy(copy, target)}")
    except StoreError as error:
        raise StoreError(f"{error}{_remedy(copy, target)}") from None
    finally:
        target.close(delivered)


def _remedy(copy: Copy, target: ChunkStore) -> str:
    if not copy.has_begun:
        return ""
    return f"; the copy in {target.place} is incomplete: run the command again, which starts it anew"


def _check_alone(source: PostgresStore) -> None:
    """Check that no other node has taken the database, and changed it. Raises: StoreError."""
    try:
        source.write(Group(source.shard_count))
    except WriteError:
        raise ClusterError("another node has taken the database, because this one did not run for a while") from None


def _tell(copy: Copy, told: list[str], source: str, target: str, as_json: bool) -> None:
    """Print what was copied, and what was not. Raises: typer.Exit 1 if anything is damaged."""
    problems = copy.problems + told
    if as_json:
        say_json(
            {
                "queues": copy.queues,
                "exchanges": copy.exchanges,
                "messages": copy.messages,
                "bytes": copy.body_bytes,
                "problems": problems,
            }
        )
    else:
        for problem in copy.problems:
            complain(source, problem)
        what = [
            _counted(copy.queues, "queue"),
            _counted(copy.exchanges, "exchange"),
            _counted(copy.messages, "message"),
        ]
        say(f"Copied {', '.join(what)} ({_counted(copy.body_bytes, 'byte')}) from {source} to {target}.")
    if problems and as_json:
        raise typer.Exit(1)
    if problems:
        refuse("some data is damaged and was not copied; all else was")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class _Told(logging.Handler):
    """Prints what the stores log. problems: the errors, which are damage."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Print an entry."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.problems.append(text)
            complain("error", text)
        else:
            complain("warning", text)


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Print what the stores log in this block, and collect the errors."""
    logger = logging.getLogger("leveret")
    told = _Told()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(told)
    try:
        yield told.problems
    finally:
        logger.removeHandler(told)
        logger.propagate = propagates


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """End the command with the reason and status 1 if a store cannot be used."""
    try:
        yield
    except StoreError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        refuse("interrupted before anything was changed")


def _ignore(reason: str) -> None:
    """The end of the command finds that another node has taken the database."""
