"""The location of a data directory's control socket: control.sock in it, unless that path is too long for a socket.

In that case the socket is in a private directory of the user, and the file control.path in the data directory contains
its path.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

from leveret.node.trust import may_answer
from leveret.store.files import replacing
from leveret.store.owner import user_name

SOCKET_NAME = "control.sock"
POINTER_NAME = "control.path"
MAX_POINTER = 4096  # bytes
MAX_PATH = 100  # bytes; the kernel allows 107 and some systems 103


class ControlError(Exception):
    """The control socket cannot be used. The text says why."""


def find(directory: Path) -> Path:
    """The path of a data directory's socket, whether it exists or not."""
    try:
        with open(directory / POINTER_NAME, "rb", opener=_only_a_file) as file:
            return Path(os.fsdecode(file.read(MAX_POINTER).strip()))
    except OSError:
        return directory / SOCKET_NAME


def bind(path: str, directory: Path | None) -> tuple[socket.socket, Path]:
    """Bind the socket, to which only its owner may connect. Replaces a socket that a killed broker left behind.

    path: its path, or empty for the default. directory: the data directory, if any; it is ours alone.
    Raises: ControlError.
    """
    place = Path(path) if path else _place(directory)
    if len(os.fsencode(place)) > MAX_PATH:
        raise ControlError(f"the path of a control socket can have at most {MAX_PATH} bytes; choose a shorter one")
    try:
        _remove_stale(place)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(place))
        finally:
            os.umask(mask)
        if directory is not None:
            _point(directory, place)
    except OSError as error:
        raise ControlError(f"cannot create the control socket {place}: {error.strerror or error}") from None
    return listener, place


def unbind(place: Path, directory: Path | None) -> None:
    """Remove the socket, and the file with its path. Raises: ControlError, once it has tried both."""
    failure = ""
    for path in (place,) if directory is None else (place, directory / POINTER_NAME):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failure = failure or f"cannot remove {path}: {error.strerror or error}"
    if failure:
        raise ControlError(failure)


def connect(place: Path, source: Path | None) -> socket.socket | None:
    """A connection to the broker on this socket; None if there is no broker.

    source: the directory that contains the socket or its path. The broker must run as the owner of that directory, root
    or this user; None trusts any user. Raises: ControlError.
    """
    if len(os.fsencode(place)) > MAX_PATH:
        return None  # no socket can be there
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.connect(str(place))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        client.close()
        return None
    except OSError as error:
        client.close()
        text = f"cannot connect to {place}: {error.strerror or error}; run this as the user who started the broker"
        raise ControlError(text) from None
    if source is not None and not may_answer(_peer(client), source):
        stranger = user_name(_peer(client))
        client.close()
        raise ControlError(f"{stranger} listens on {place}, but does not own '{source}'; nothing was sent there")
    return client


def _place(directory: Path | None) -> Path:
    assert directory is not None
    place = directory.absolute() / SOCKET_NAME
    if len(os.fsencode(place)) <= MAX_PATH:
        return place
    import hashlib

    name = hashlib.blake2b(os.fsencode(directory.resolve()), digest_size=8).hexdigest()
    return _runtime_directory() / f"leveret-{name}.sock"


def _runtime_directory() -> Path:
    """A private directory with a short path. Raises: ControlError."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and os.path.isdir(given):
        return Path(given)
    place = Path(f"/tmp/leveret-{os.getuid()}")
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise ControlError(f"cannot create the directory {place}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ControlError(f"{place} is not a private directory of this user; remove it or set XDG_RUNTIME_DIR")
    return place


def _remove_stale(place: Path) -> None:
    try:
        found = place.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(f"{place} exists and is not a socket; choose another path with --control")
    client = connect(place, None)
    if client is not None:
        client.close()
        raise ControlError(f"another broker is listening on {place}; choose another path with --control")
    place.unlink()


def _point(directory: Path, place: Path) -> None:
    pointer = directory / POINTER_NAME
    if place == directory.absolute() / SOCKET_NAME:
        pointer.unlink(missing_ok=True)
    else:
        with replacing(pointer) as file:
            file.write(os.fsencode(f"{place.absolute()}\n"))


def _only_a_file(path: str, flags: int) -> int:
    """Open a file without following links or waiting for a pipe. Raises: OSError."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _peer(client: socket.socket) -> int:
    """The user ID of the listening process."""
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
