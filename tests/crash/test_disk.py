"""The model of a disk keeps what was synced and, of the rest, anything."""

from __future__ import annotations

from tests.crash.disk import (
    FLAG_CREATE,
    FLAG_DIRECTORY,
    FLAG_TRUNCATE,
    MKDIR,
    OPEN,
    RENAME,
    SYNC,
    TRUNCATE,
    UNLINK,
    WRITE,
    Disk,
    Entry,
    Whim,
    Write,
)

FILE, FOLDER = 1, 2
NEW = [(OPEN, FILE, FLAG_CREATE, b"f"), (OPEN, FOLDER, FLAG_DIRECTORY, b"")]
SYNCED = [*NEW, (WRITE, FILE, 0, b"a" * 1024), (SYNC, FILE, 0, b""), (SYNC, FOLDER, 0, b"")]


def outcomes(steps: list[tuple[int, int, int, bytes]]) -> set[bytes | None]:
    """All contents of the file f that a power cut after these steps may leave; None where it is missing."""
    disk = Disk()
    for kind, file, offset, data in steps:
        disk.replay(Entry(kind, file, offset, data, 0))
    return {disk.cut(Whim(str(seed))).contents.get("f") for seed in range(150)}


def test_what_was_synced_stays() -> None:
    assert outcomes(SYNCED) == {b"a" * 1024}


def test_a_new_name_needs_a_sync_of_its_directory() -> None:
    assert outcomes([*NEW, (WRITE, FILE, 0, b"a"), (SYNC, FILE, 0, b"")]) == {b"a", None}
    assert outcomes([*NEW, (WRITE, FILE, 0, b"a"), (SYNC, FOLDER, 0, b"")]) == {b"a", b""}


def test_sectors_part() -> None:
    a, b = b"a" * 512, b"b" * 512
    assert outcomes([*SYNCED, (WRITE, FILE, 0, b + b)]) == {a + a, a + b, b + a, b + b}
    assert outcomes([*SYNCED, (WRITE, FILE, 256, b)]) == {
        a + a,
        b"a" * 256 + b + b"a" * 256,
        b"a" * 256 + b"b" * 256 + a,
        a + b"b" * 256 + b"a" * 256,
    }


def test_a_later_write_may_be_there_without_an_earlier_one() -> None:
    steps = [*SYNCED, (TRUNCATE, FILE, 0, b""), (WRITE, FILE, 0, b"b"), (WRITE, FILE, 2, b"c")]
    a = b"a" * 1024
    assert {b"", b"b", b"\0\0c", b"b\0c", a, b"b" + a[1:], b"aac" + a[3:], b"bac" + a[3:]} == outcomes(steps)


def test_names_vanish_and_change() -> None:
    assert outcomes([*SYNCED, (UNLINK, 0, 0, b"f")]) == {b"a" * 1024, None}
    assert outcomes([*SYNCED, (UNLINK, 0, 0, b"f"), (SYNC, FOLDER, 0, b"")]) == {None}
    new = (OPEN, 3, FLAG_CREATE | FLAG_TRUNCATE, b"g")
    replaced = [*SYNCED, new, (WRITE, 3, 0, b"g"), (SYNC, 3, 0, b""), (RENAME, 0, 0, b"g\0f")]
    assert outcomes(replaced) == {b"a" * 1024, b"g"}


def test_a_directory_is_a_name_too() -> None:
    disk = Disk()
    for step in (
        (MKDIR, 0, 0, b"d"),
        (OPEN, 1, FLAG_DIRECTORY, b"d"),
        (OPEN, 2, FLAG_CREATE, b"d/f"),
        (SYNC, 1, 0, b""),
    ):
        disk.replay(Entry(*step, 0))
    found = {tuple(disk.cut(Whim(str(seed))).contents) for seed in range(50)}
    assert found == {(), ("d", "d/f")}


def test_a_sync_that_lies_makes_nothing_safe() -> None:
    disk = Disk(honest=lambda path: path != "f")
    for kind, file, offset, data in SYNCED:
        disk.replay(Entry(kind, file, offset, data, 0))
    assert len({disk.cut(Whim(str(seed))).contents.get("f") for seed in range(50)}) > 1


def test_a_write_in_sectors() -> None:
    assert Write(500, b"x" * 600).sectors() == [Write(500, b"x" * 12), Write(512, b"x" * 512), Write(1024, b"x" * 76)]
    assert Write(0, b"x" * 512).sectors() == [Write(0, b"x" * 512)]
