"""Administer a data directory that no broker uses, with a temporary broker without clients and messages."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError, InvalidError, UnknownError
from leveret.core.turn.clock import Clock
from leveret.management.administration import VERBS, Administration
from leveret.management.importing import import_definitions, tell_of_transient
from leveret.management.jobs import complete
from leveret.node.defaults import make_defaults
from leveret.store.chunk_log import ChunkLog
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.owner import as_owner
from leveret.store.rescue.salvage import open_database

WRITE_S = 30.0  # how long the disk may take


def perform(directory: Path, verb: str, arguments: dict[str, object]) -> object:
    """Perform a verb on a data directory. A verb that changes something creates the directory if it does not exist.

    Does not touch messages, or the mark of whether the last broker stopped cleanly.
    Raises: AdministrationError, StoreError.
    """
    try:
        with as_owner(directory):
            return _perform(directory, verb, arguments)
    except OSError as error:
        raise StoreError(f"cannot use data directory {directory}: {error.strerror}") from None


def _perform(directory: Path, verb: str, arguments: dict[str, object]) -> object:
    """Raises: AdministrationError, StoreError, OSError."""
    found = VERBS.get(verb)
    if (found is None or not found.changes) and not (directory / FILE_NAME).exists():
        raise UnknownError(f"there is no data in '{directory}' and no broker there; name the directory with --data-dir")
    if found is not None and found.is_live:
        raise InvalidError(f"no broker is running on '{directory}', and this command needs one; start it first")
    written = threading.Event()
    log = ChunkLog(open_database(directory), written.set)
    clock = Clock(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)
    broker = Broker(log, log, clock, None, f"leveret@{socket.gethostname()}")
    log.listener = broker.news
    try:
        broker.recover_definitions()
        if found is not None and found.changes:
            make_defaults(broker)
        try:
            result = complete(broker, Administration(broker).perform(verb, arguments))
        finally:
            _write(broker, log, written)
    finally:
        log.close()
    if verb == import_definitions.__name__ and isinstance(result, dict) and result["applied"]:
        tell_of_transient(arguments["content"], result["notes"])  # type: ignore[arg-type]
    return result


def _write(broker: Broker, log: ChunkLog, written: threading.Event) -> None:
    """Wait until all changes are on disk. Raises: AdministrationError."""
    deadline = time.monotonic() + WRITE_S
    while broker.durable_revision < broker.revision:
        log.flush()
        if not written.wait(max(deadline - time.monotonic(), 0)):
            raise AdministrationError("cannot write to the data directory")
        written.clear()
        log.on_committed()
        if log.failed_bytes:
            raise InvalidError("cannot write to the data directory; nothing was changed")
