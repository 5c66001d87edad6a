"""leveret messages export, leveret messages import: the messages of a queue as lines of JSON.

Signals are only handled between two pages or batches, so that a line is never cut.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from leveret.node.cli.names import of_queues, of_vhosts
from leveret.node.cli.output import progress, refuse
from leveret.node.cli.pieces import CUT, LocalPieces, Pieces, RemotePieces
from leveret.node.cli.target import BrokerError, Link, Target, at_broker, reach
from leveret.node.printable import complain, say
from leveret.store.files import find_place, replacing

if TYPE_CHECKING:
    from leveret.core.message.log import Recovered
    from leveret.node.cli.asking import Broker

BATCH_BYTES = 1 << 20  # encoded size at which a batch is sent
BATCH_MESSAGES = 500
BLOCKED_S = 0.2  # between two attempts while the broker is blocked
ENDED = (signal.SIGINT, signal.SIGTERM)

Queue = Annotated[str, typer.Argument(help="Name of the queue.", autocompletion=of_queues)]
Vhost = Annotated[str, typer.Option(help="Virtual host of the queue.", autocompletion=of_vhosts)]
Tell = Callable[[int, int], None]


class Stop:
    """Whether a signal asked the command to stop. A second signal kills it.

    may_raise: a signal may raise KeyboardInterrupt now, because the command is only waiting.
    """

    def __init__(self) -> None:
        self.is_wanted = False
        self.may_raise = False
        self.status = 0  # exit status of the command

    def __enter__(self) -> Stop:
        for number in ENDED:
            signal.signal(number, self._want)
        return self

    def __exit__(self, *error: object) -> None:
        for number in ENDED:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    def _want(self, number: int, frame: object) -> None:
        self.is_wanted = True
        self.status = 128 + number
        signal.signal(number, signal.SIG_DFL)
        if self.may_raise:
            raise KeyboardInterrupt


# -- export


@dataclass
class Counts:
    """Counts of exported and skipped messages."""

    exported: int = 0
    unacked: int = 0
    waiting: int = 0
    held: int = 0
    expired: int = 0
    missing: int = 0
    is_complete: bool = False


@at_broker
def export(
    target: Target,
    queue: Queue,
    file: Annotated[str, typer.Argument(help="File to write; - for standard output.")] = "-",
    vhost: Vhost = "/",
) -> None:
    """Export the ready messages of a queue as lines of JSON. The queue does not change."""
    counts = Counts()
    damage: list[tuple[str, str]] = []
    elsewhere = connect_elsewhere(target)
    with Stop() as stop, progress("Exporting") as tell:

        def online(client: socket.socket) -> None:
            with Link(client) as link:
                _write_all(file, _pages(LocalPieces(link, queue, vhost), counts, tell), counts, stop)

        def offline(directory: Path) -> None:
            _write_all(file, _offline(directory, queue, vhost, counts, tell, damage), counts, stop)

        try:
            if elsewhere is None:
                reach(target, online, offline)
            else:
                with contextlib.closing(elsewhere) as broker:
                    _write_all(file, _pages(RemotePieces(broker, queue, vhost), counts, tell), counts, stop)
        except BrokerError as error:
            refuse(f"{error}{_so_far(counts.exported, 'exported') if counts.exported else ''}")
    for where, text in damage:
        complain(where, text)
    _say_exported(queue, counts)
    if counts.missing or damage:
        refuse("some messages could not be read; all others were exported")
    if not counts.is_complete:
        refuse("interrupted; the rest was not exported")


def _say_exported(queue: str, counts: Counts) -> None:
    left_out = [
        f"{count} {what}"
        for count, what in (
            (counts.unacked, "unacknowledged"),
            (counts.waiting, "waiting for redelivery"),
            (counts.held, "held until their delivery time"),
            (counts.expired, "expired"),
            (counts.missing, "unreadable"),
        )
        if count
    ]
    text = f"Exported {_messages(counts.exported)} from queue '{queue}'."
    say(f"{text[:-1]}; skipped: {', '.join(left_out)}." if left_out else text, aside=True)


def _write_all(file: str, pages: Iterable[list[bytes]], counts: Counts, stop: Stop) -> None:
    """Write pages of complete lines to a file or to standard output."""
    pages = iter(pages)
    first = next(pages, None)  # before opening the file: the queue may not exist
    try:
        with _open_output(file, counts) as out:
            while first is not None:
                _write(out, b"".join(first))
                counts.exported += len(first)
                if stop.is_wanted:
                    return
                first = next(pages, None)
        counts.is_complete = True
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        name = "standard output" if file == "-" else file
        refuse(f"cannot write {name}: {error.strerror}{_so_far(counts.exported, 'exported')}")


def _write(out: IO[bytes], data: bytes) -> None:
    """Write all data. A signal may cut short even a buffered write to a pipe."""
    left = memoryview(data)
    while left:
        left = left[out.write(left) :]
    out.flush()


@contextlib.contextmanager
def _open_output(file: str, counts: Counts) -> Iterator[IO[bytes]]:
    """Open the file so that only its owner may read it, as messages may be secret. On failure the old file remains."""
    if file == "-":
        yield sys.stdout.buffer
        return
    is_new = find_place(Path(file))[1]
    try:
        with replacing(Path(file)) as out:
            yield out
    except BaseException:
        if is_new:
            counts.exported = 0
        raise


def _pages(pieces: Pieces, counts: Counts, tell: Tell) -> Iterator[list[bytes]]:
    """Pages of lines from a broker. Raises: BrokerError."""
    from leveret.core.message import codec
    from leveret.management import lines
    from leveret.wire.fields import DecodeError

    total = 0
    while True:
        page = pieces.page()
        total = max(total, page.told["ready"])
        counts.unacked = page.told["unacked"]
        counts.waiting = page.told["waiting"]
        counts.held = page.told.get("held", 0)
        counts.expired += page.told["expired"]
        counts.missing += page.told["missing"]
        try:
            items = codec.decode(page.data)
        except DecodeError:
            raise BrokerError(CUT, True) from None
        if page.count not in (None, len(items)):
            raise BrokerError(CUT, True)
        yield [lines.write(item) for item in items]
        tell(counts.exported, total)
        if page.is_last:
            return


def _offline(
    directory: Path, queue: str, vhost: str, counts: Counts, tell: Tell, damage: list[tuple[str, str]]
) -> Iterator[list[bytes]]:
    """Pages of lines from a data directory. Raises: AdministrationError, StoreError."""
    from leveret.core.broker import Broker
    from leveret.core.turn.clock import Clock
    from leveret.management.messages import find_queue
    from leveret.store.memory import MemoryLog
    from leveret.store.snapshot import Snapshot

    with contextlib.closing(Snapshot(directory)) as snapshot:
        broker = Broker(MemoryLog(), snapshot, Clock(0, time.time_ns() // 1_000_000), 0, "")
        broker.recover_definitions()
        found = find_queue(broker, vhost, queue)
        page: list[bytes] = []
        size = 0
        for message in snapshot.messages(found.queue_id, found.settings.max_priority >= 0, tell):
            if message.deadline_ms and message.deadline_ms < broker.clock.wall_ms:
                counts.expired += 1
                continue
            page.append(_line(message))
            size += len(page[-1])
            if size >= BATCH_BYTES:
                yield page
                page, size = [], 0
        yield page
        damage += [(str(directory), text) for text in snapshot.damage]


def _line(found: Recovered) -> bytes:
    from leveret.core.message import codec
    from leveret.management import lines

    return lines.write(codec.unframed(found.message, found.redelivered))


# -- import


@at_broker
def import_messages(
    target: Target,
    queue: Queue,
    file: Annotated[str, typer.Argument(help="File to read; - for standard input.")] = "-",
    vhost: Vhost = "/",
) -> None:
    """Import the messages of an export into an existing queue, and wait until they are safe."""

    def bring_in(pieces: Pieces) -> int:
        with Stop() as stop, progress("Importing") as tell:
            return _Importer(pieces, queue, file, stop, tell).run()

    def online(client: socket.socket) -> int:
        with Link(client) as link:
            return bring_in(LocalPieces(link, queue, vhost))

    def offline(directory: Path) -> NoReturn:
        from leveret.store.snapshot import check_unused

        check_unused(directory)
        refuse(f"no broker is running on '{directory}', and an import needs one; start it first")

    elsewhere = connect_elsewhere(target)
    if elsewhere is None:
        count = reach(target, online, offline)
    else:
        with contextlib.closing(elsewhere) as broker:
            count = bring_in(RemotePieces(broker, queue, vhost))
    say(f"Imported {_messages(count)} into queue '{queue}'.")


class _Importer:
    """One import."""

    def __init__(self, pieces: Pieces, queue: str, file: str, stop: Stop, tell: Tell) -> None:
        from leveret.core.message import codec
        from leveret.management import lines

        self._lines = lines
        self._codec = codec
        self._pieces = pieces
        self._queue = queue
        self._file = file
        self._stop = stop
        self._tell = tell
        self._stored = 0
        self._duplicates = 0
        self._has_waited = False
        self._batch: list[bytes] = []
        self._numbers: list[int] = []  # line numbers of the batch
        self._size = 0

    def run(self) -> int:
        """Import everything. Returns: the number of messages. An error ends the command."""
        limit = self._ask(b"")["max_message_size"]
        try:
            with self._open() as source:
                total = _size_of(source)
                done = 0
                for number, line in enumerate(self._read(source), 1):
                    done += len(line)
                    self._take(number, line, limit)
                    if self._size >= BATCH_BYTES or len(self._batch) >= BATCH_MESSAGES:
                        self._send()
                        self._tell(done, total)
        except OSError as error:
            self._fail(f"cannot read {self._file}: {error.strerror}")
        self._send()
        if self._duplicates:
            complain("note", f"the queue dropped {_messages(self._duplicates)} of these as duplicates")
        if self._stop.is_wanted:
            self._fail("interrupted")
        return self._stored

    def _read(self, source: IO[bytes]) -> Iterator[bytes]:
        """Lines until the end of the file or a signal."""
        while not self._stop.is_wanted:
            try:
                self._stop.may_raise = True
                line = source.readline()
                self._stop.may_raise = False
            except KeyboardInterrupt:
                return
            if not line:
                return
            yield line

    def _open(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        if self._file == "-":
            return contextlib.nullcontext(sys.stdin.buffer)
        return open(self._file, "rb")

    def _take(self, number: int, line: bytes, limit: int) -> None:
        if not line.strip():
            return
        try:
            item = self._lines.read(line, self._queue)
        except self._lines.LineError as error:
            self._send()
            self._fail(f"line {number}: {error}")
        if len(item.body) > limit:
            self._send()
            self._fail(f"line {number}: the body has {len(item.body)} bytes; the broker's limit is {limit}")
        data = self._codec.encode(item)
        if self._batch and self._size + len(data) > BATCH_BYTES:
            self._send()
        self._batch.append(data)
        self._numbers.append(number)
        self._size += len(data)

    def _send(self) -> None:
        """Send the batch, wait while the broker is blocked, and wait until the messages are safe."""
        if not self._batch:
            return
        data = b"".join(self._batch)
        answer = self._ask(data)
        if answer.get("blocked") and not self._has_waited:
            self._has_waited = True
            complain("note", f"the broker is blocking publishers: {answer['blocked']}")
        while answer.get("blocked"):
            if self._stop.is_wanted:
                self._fail("interrupted")
            time.sleep(BLOCKED_S)
            answer = self._ask(data)
        if answer.get("refused") is not None:
            self._fail(f"line {self._numbers[answer['refused']]}: {answer['reason']}")
        stored: int = answer["stored"]
        self._stored += stored
        if answer["unsafe"]:
            text = "could not be written to disk; they are in the queue, but will be lost when the broker stops"
            self._fail(f"{_messages(answer['unsafe'])} up to line {self._numbers[-1]} {text}")
        if answer["is_full"]:
            self._fail(f"line {self._numbers[stored]}: the queue is full and rejects messages")
        self._duplicates += answer["duplicates"]
        self._batch, self._numbers, self._size = [], [], 0

    def _ask(self, data: bytes) -> dict[str, Any]:
        try:
            return self._pieces.put(data)
        except BrokerError as error:
            text = str(error)
            if not self._batch:
                refuse(text)
            if error.is_gone:
                text += f"; some of lines {self._numbers[0]} to {self._numbers[-1]} may have been imported"
            self._fail(text)

    def _fail(self, text: str) -> NoReturn:
        refuse(f"{text}{_so_far(self._stored, 'imported')}")


def connect_elsewhere(target: Target) -> Broker | None:
    """The target broker if it is reached over HTTP; None for a broker on this machine."""
    if not target.is_remote:
        return None
    from leveret.node.cli.asking import connect

    return connect(target)


def _size_of(source: IO[bytes]) -> int:
    """The size of a file in bytes; 0 for a pipe."""
    try:
        found = os.fstat(source.fileno())
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _so_far(count: int, done: str) -> str:
    return f"; {_messages(count) if count else 'nothing'} {'were' if count > 1 else 'was'} {done}"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
