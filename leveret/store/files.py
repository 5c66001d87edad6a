"""Files that only their owner can read: they contain messages and password hashes.

All files are created with the functions of this module. So the umask, the permissions of the directory, and files of
other users in it do no harm: a replacement is always a new file with an unguessable name, which is renamed when
complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from leveret.store.directory import sync_directory

PRIVATE: Final = 0o600
OTHERS: Final = 0o077
MAX_LINKS: Final = 40  # as Linux has it
UNTOUCHED: Final = os.O_CLOEXEC | os.O_NOFOLLOW


def private(path: str | os.PathLike[str], flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file, with access for its owner only; other permissions of an existing file are removed.

    For files of a data directory that are kept if they exist. Can be the opener of open().
    Raises: OSError, also for a symbolic link.
    """
    try:
        descriptor = os.open(path, flags | UNTOUCHED, PRIVATE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, f"{Path(path).name} is a symbolic link", os.fspath(path)) from None
        raise
    try:
        _close_to_others(descriptor)
    except PermissionError:
        pass  # the file of another user, who lets us write to it
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_private(path: Path) -> None:
    """Create an empty private file, unless it exists; SQLite gives its logs the same permissions.

    Raises: OSError.
    """
    os.close(private(path))


def tighten(directory: Path, name: str) -> None:
    """Make files private whose names begin with name.

    Other files in the directory are not ours to change.
    """
    for path in directory.glob(f"{name}*"):
        with contextlib.suppress(OSError):  # just deleted, or of another user
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | UNTOUCHED)
            try:
                _close_to_others(descriptor)
            finally:
                os.close(descriptor)


def make_new(directory: Path) -> tuple[int, Path]:
    """Create a private file with an unguessable name.

    Returns: its descriptor, open for reading and writing, and its path. Raises: OSError.
    """
    path = directory / f".leveret-{os.urandom(8).hex()}.part"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | UNTOUCHED, PRIVATE), path


def make_nameless(directory: Path) -> int:
    """Create a private file that is deleted when it is closed. Raises: OSError."""
    descriptor, path = make_new(directory)
    path.unlink()
    return descriptor


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new private file that replaces the one at path when the block ends, complete and synced.

    If the block fails, the old file stays unchanged. See find_place() for devices and pipes. Raises: OSError.
    """
    place, is_new = find_place(path)
    if not is_new:
        with os.fdopen(_open_as_it_is(place), "wb") as file:
            yield file
        return
    descriptor, part = make_new(place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(place.parent)


def make_anew(path: Path) -> int:
    """Replace the file at path by an empty private one, open for writing.

    See find_place() for devices and pipes. Returns: its descriptor. Raises: OSError.
    """
    place, is_new = find_place(path)
    if not is_new:
        return _open_as_it_is(place)
    descriptor, part = make_new(place.parent)
    try:
        part.replace(place)
    except BaseException:
        os.close(descriptor)
        part.unlink(missing_ok=True)
        raise
    return descriptor


def find_place(path: Path) -> tuple[Path, bool]:
    """Resolve a path to write to. Returns: the target, and whether to write a new file there.

    If not, the target is a device, a pipe, or an open file such as /dev/stdout, which is written directly. Symbolic
    links are followed, and stay. Links and pipes of other users except root may be traps and are refused.
    Raises: OSError.
    """
    for _ in range(MAX_LINKS):
        if path.parent.resolve().is_relative_to("/proc"):
            return path, False
        try:
            found = path.lstat()
        except FileNotFoundError:
            return path, True
        mode = found.st_mode
        if stat.S_ISREG(mode):
            return path, True
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if found.st_uid not in (os.geteuid(), 0):
            raise PermissionError(errno.EACCES, "it is a link or a pipe of another user", os.fspath(path))
        if not stat.S_ISLNK(mode):
            return path, False
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


def _open_as_it_is(path: Path) -> int:
    """Open a device, a pipe or an open file."""
    is_handle = path.parent.resolve().is_relative_to("/proc")
    return os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | (0 if is_handle else os.O_NOFOLLOW))


def _close_to_others(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) and mode & OTHERS:
        os.fchmod(descriptor, mode & PRIVATE)
