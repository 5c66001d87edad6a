"""Damaged files: a log starts from whatever is left, with all that was on pages that were not touched."""

from __future__ import annotations

import random
import shutil
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.store.chunk import parse
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.rescue.journal import FRAME_BYTES, Journal
from leveret.store.rescue.pages import MOST, PageFile, TreePage, in_leaf, varint
from leveret.store.rescue.salvage import read_damaged
from leveret.store.rescue.survey import LEAF, Survey, inspect
from leveret.store.schema import PAGE_BYTES
from tests.store.test_logs import Log, message, reopened

QUEUES = (0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321, 0x2222_7777_3333_9999)
Place = tuple[int, int]


class Store:
    """A directory with a store in it, and what should be found there.

    chunk_pages, definition_pages: which pages each message and each definition needs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.published: dict[Place, bytes] = {}
        self.acked: set[Place] = set()
        self.definitions: dict[tuple[str, str], bytes] = {}
        self.old_definitions: set[tuple[str, str, bytes]] = set()
        self.pages: dict[Place, set[int]] = {}
        self.definition_pages: dict[tuple[str, str], set[int]] = {}
        self.count = 0

    def note_pages(self) -> None:
        """Remember which pages messages and definitions are on."""
        file = PageFile(self.directory / FILE_NAME)
        survey = Survey(file)
        assert survey.problems == []
        self.count = file.count
        for number in range(1, file.count + 1):
            if survey.marks[number] != LEAF:
                continue
            page = TreePage(number, file.page(number))
            for at in page.cells:
                row = file.row(page.content, at)
                assert not row.missing
                needed = {number, *_chain(file, page.content, at)}
                if len(row.values) == 3:
                    head = row.values[1]
                    assert isinstance(head, bytes)
                    for label in parse(head).labels:
                        for place in label.places:
                            self.pages[place.queue_id, place.position] = needed
                elif len(row.values) == 4:
                    kind, key = row.values[1], row.values[2]
                    assert isinstance(kind, str)
                    assert isinstance(key, str)
                    self.definition_pages[kind, key] = needed
        file.close()
        assert self.definition_pages.keys() == self.definitions.keys()
        assert self.pages.keys() >= self.published.keys() - self.acked


def _chain(file: PageFile, content: bytes, at: int) -> set[int]:
    """The overflow pages of a row."""
    size, pos = varint(content, at)
    pos = varint(content, pos)[1] + in_leaf(size, MOST)
    pages: set[int] = set()
    number = int.from_bytes(content[pos : pos + 4], "big") if in_leaf(size, MOST) < size else 0
    while number:
        pages.add(number)
        number = int.from_bytes(file.page(number)[:4], "big")
    return pages


def body(rng: random.Random, size: int) -> bytes:
    """Bytes that carry a checksum."""
    part = rng.randbytes(size)
    return zlib.crc32(part).to_bytes(4, "big") + part


def fill(directory: Path, is_clean: bool, seed: int = 1) -> Store:
    """A store with queues, definitions, chunks, notes, free pages; closed or as kill -9 leaves it."""
    rng = random.Random(seed)
    store = Store(directory)
    live = directory.with_name(directory.name + "-live")
    log = Log(live)
    for number in range(120):
        key = f'["/","name-{number}"]'
        for _ in range(1 + number % 2):
            value = rng.randbytes(rng.randint(20, 500))
            log.log.put("queue", key, value)
            if ("queue", key) in store.definitions:
                store.old_definitions.add(("queue", key, store.definitions["queue", key]))
            store.definitions["queue", key] = value
        if number % 40 == 39:
            log.flush()
    positions = dict.fromkeys(QUEUES, 0)
    for group in range(32):
        if group == 16:  # what was written before is in the file itself
            log.log.close()
            log = reopened(live)
            assert log.found()
        for _ in range(rng.choice((1, 3, 20))):
            sent = message(body(rng, rng.choice((10, 300, 1500, 9000))))
            for queue in QUEUES[: rng.randint(1, 3)]:
                positions[queue] += 1
                log.log.append(queue, positions[queue], sent, 0)
                store.published[queue, positions[queue]] = sent.body()
        log.flush()
        if group % 3 == 2:
            for place in rng.sample(sorted(store.published.keys() - store.acked), 12):
                log.log.remove(*place)
                store.acked.add(place)
            if group == 14:  # the oldest chunks altogether
                for place in [place for place in sorted(store.published) if place[1] <= 30]:
                    if place not in store.acked:
                        log.log.remove(*place)
                        store.acked.add(place)
            log.flush()
    if is_clean:
        log.log.close()
        shutil.copytree(live, directory)
    else:
        shutil.copytree(live, directory)
        log.log.close()
    store.note_pages()
    return store


@pytest.fixture(scope="module", params=[True, False], ids=["closed", "killed"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that was closed, and one with a write-ahead log."""
    return fill(tmp_path_factory.mktemp("store") / "data", request.param)


def damaged(store: Store, directory: Path) -> Path:
    """A copy of the store, to be damaged. Returns: its file."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(store.directory, directory)
    return directory / FILE_NAME


def kept(directory: Path) -> list[str]:
    """The files that were kept aside."""
    return sorted(path.name for path in directory.glob(f"{FILE_NAME}.damaged-*"))


def start(
    store: Store, directory: Path, touched: set[int], *, needs: bool = True
) -> list[tuple[int, int, bytes, bool]]:
    """Start on what is left. touched: pages of it that were damaged. needs: that all the others are found."""
    log = reopened(directory)
    definitions = {(kind, key): value for kind, key, value in log.log.load()}
    found = log.found()
    places = [(queue, position) for queue, position, _, _ in found]
    assert len(places) == len(set(places))
    assert places == sorted(places, key=lambda place: (place[0], place[1]))
    for queue, position, content, again in found:
        assert content == store.published[queue, position], "was never published"
        assert again or (queue, position) not in store.acked
    for name, value in definitions.items():
        if not store.definition_pages[name] & touched:
            assert value == store.definitions[name] or (*name, value) in store.old_definitions
    if needs:
        safe = {place for place in store.published.keys() - store.acked if not store.pages[place] & touched}
        assert safe - set(places) == set(), "lost, though their pages are whole"
        for name, value in store.definitions.items():
            if not store.definition_pages[name] & touched:
                assert definitions.get(name) == value
    log.log.append(QUEUES[0], 1 << 40, message(b"new"), 0)
    log.log.put("queue", "new", b"")
    log.flush()
    assert log.heard.durable == {QUEUES[0]: 1 << 40}
    assert log.heard.revision
    log.log.close()
    second = reopened(directory)
    assert {place[:3] for place in second.found()} == {place[:3] for place in found} | {(QUEUES[0], 1 << 40, b"new")}
    assert len(second.log.load()) == len(definitions) + 1
    second.log.close()
    return found


def spoil(path: Path, offset: int, content: bytes) -> None:
    """Write over a part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_nothing_is_done_to_a_file_that_is_whole(store: Store, tmp_path: Path) -> None:
    path = damaged(store, tmp_path / "data")
    assert inspect(path) == ("", "")
    start(store, path.parent, set())
    assert kept(path.parent) == []


def test_each_page(store: Store, tmp_path: Path) -> None:
    rng = random.Random(6)
    salvaged = 0
    log_pages = Journal(store.directory / f"{FILE_NAME}-wal").frames
    for number in range(1, store.count + 1):
        path = damaged(store, tmp_path / "data")
        if number in log_pages:
            continue  # the log has it anew
        content = rng.choice((bytes(PAGE_BYTES), b"\xff" * PAGE_BYTES, rng.randbytes(PAGE_BYTES)))
        spoil(path, (number - 1) * PAGE_BYTES, content)
        start(store, path.parent, {number})
        salvaged += bool(kept(path.parent))
    assert salvaged > 3 or log_pages


def test_bytes_anywhere(store: Store, tmp_path: Path) -> None:
    rng = random.Random(7)
    in_log = Journal(store.directory / f"{FILE_NAME}-wal").frames
    for _ in range(25):
        path = damaged(store, tmp_path / "data")
        number = rng.choice([each for each in range(1, path.stat().st_size // PAGE_BYTES + 1) if each not in in_log])
        size = rng.choice((1, 4, 40, 400))
        offset = rng.choice((0, 0, rng.randrange(64), rng.randrange(PAGE_BYTES - size)))
        spoil(path, (number - 1) * PAGE_BYTES + offset, rng.randbytes(size))
        start(store, path.parent, {number})


def test_several_pages_at_once(store: Store, tmp_path: Path) -> None:
    rng = random.Random(8)
    for count in (3, 20, 30):
        path = damaged(store, tmp_path / "data")
        touched = set(rng.sample(range(1, path.stat().st_size // PAGE_BYTES + 1), count))
        for number in touched:
            spoil(path, (number - 1) * PAGE_BYTES, rng.randbytes(PAGE_BYTES))
        start(store, path.parent, touched)
        assert count < 30 or kept(path.parent)


def test_a_torn_tail(store: Store, tmp_path: Path) -> None:
    rng = random.Random(9)
    whole = (store.directory / FILE_NAME).stat().st_size
    in_log = set(Journal(store.directory / f"{FILE_NAME}-wal").frames)
    for size in (whole - 1, whole - PAGE_BYTES, PAGE_BYTES, 5000, 100, 1, *(rng.randrange(whole) for _ in range(3))):
        path = damaged(store, tmp_path / "data")
        with path.open("r+b") as file:
            file.truncate(size)
        touched = set(range(size // PAGE_BYTES + 1, whole // PAGE_BYTES + 1))
        start(store, path.parent, touched)
        assert kept(path.parent) or touched <= in_log or size < 2 or size > whole // 2


def test_an_empty_file_takes_its_log_not_with_it(store: Store, tmp_path: Path) -> None:
    for is_there in (True, False):
        path = damaged(store, tmp_path / "data")
        path.write_bytes(b"")
        if not is_there:
            path.unlink()
        in_log = set(Journal(store.directory / f"{FILE_NAME}-wal").frames)
        found = start(store, path.parent, set(range(1, store.count + 1)) - in_log)
        assert bool(found) == bool(in_log)
        assert any(name.endswith("-wal") for name in kept(path.parent)) == bool(in_log)


def frames(directory: Path) -> list[tuple[int, bool]]:
    """The pages in a write-ahead log, and whether each ends a transaction."""
    content = (directory / f"{FILE_NAME}-wal").read_bytes()
    heads = [content[at : at + 8] for at in range(32, len(content), FRAME_BYTES)]
    return [(int.from_bytes(head[:4], "big"), head[4:] != bytes(4)) for head in heads]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a write-ahead log."""
    return fill(tmp_path_factory.mktemp("killed") / "data", False, 2)


def test_a_damaged_log(killed: Store, tmp_path: Path) -> None:
    rng = random.Random(11)
    pages = frames(killed.directory)
    salvaged = 0
    for at in sorted({0, 1, len(pages) - 1, *range(2, len(pages), 7)}):
        path = damaged(killed, tmp_path / "data")
        log = path.with_name(f"{FILE_NAME}-wal")
        size = rng.choice((1, 30, 5000, FRAME_BYTES))
        offset = rng.choice((0, 8, 20, rng.randrange(FRAME_BYTES))) if size < FRAME_BYTES else 0
        content = log.read_bytes()[32 + at * FRAME_BYTES :][offset : min(offset + size, FRAME_BYTES)]
        spoil(log, 32 + at * FRAME_BYTES + offset, bytes(byte ^ rng.randint(1, 255) for byte in content))
        is_told = Journal(log).damage != ""
        ends = sum(ends for _, ends in pages[at:])
        assert is_told or ends <= 2  # else it looks like the transaction that a power cut ended
        salvaged += is_told
        start(killed, path.parent, {pages[at][0]}, needs=is_told)
        assert bool(kept(path.parent)) >= is_told
    assert salvaged > 3


def test_a_log_with_a_damaged_header(killed: Store, tmp_path: Path) -> None:
    for offset in (0, 8, 16, 24):
        path = damaged(killed, tmp_path / "data")
        spoil(path.with_name(f"{FILE_NAME}-wal"), offset, b"\x5a\xa5\x99\x17")
        start(killed, path.parent, set())
        assert kept(path.parent)


def test_the_log_is_gone(killed: Store, tmp_path: Path) -> None:
    path = damaged(killed, tmp_path / "data")
    path.with_name(f"{FILE_NAME}-wal").unlink()
    start(killed, path.parent, set(), needs=False)


def test_a_torn_log_is_no_damage(killed: Store, tmp_path: Path) -> None:
    rng = random.Random(12)
    size = (killed.directory / f"{FILE_NAME}-wal").stat().st_size
    for _ in range(4):
        path = damaged(killed, tmp_path / "data")
        with path.with_name(f"{FILE_NAME}-wal").open("r+b") as file:
            file.truncate(rng.randrange(size))
        assert inspect(path)[0] == ""
        start(killed, path.parent, set(), needs=False)


def test_a_crash_in_the_middle(store: Store, tmp_path: Path) -> None:
    stamp = "20260101T000000Z"
    path = damaged(store, tmp_path / "data")
    part = path.with_name(f"{FILE_NAME}.salvaging")
    read_damaged(path, part)
    log = path.with_name(f"{FILE_NAME}-wal")
    spoil(log if log.exists() else path, 0, bytes(16))
    whole = {each.name: each.read_bytes() for each in path.parent.glob("*") if each != part}
    steps = [f"{FILE_NAME}{end}" for end in ("", "-wal", "-shm") if f"{FILE_NAME}{end}" in whole]
    for moved in range(len(steps) + 1):
        directory = tmp_path / f"moved-{moved}"
        directory.mkdir()
        for name, content in whole.items():
            is_moved = name in steps[:moved]
            (directory / (name.replace(FILE_NAME, f"{FILE_NAME}.damaged-{stamp}") if is_moved else name)).write_bytes(
                content
            )
        shutil.copy(part, directory / f"{FILE_NAME}.salvaged-{stamp}")
        shutil.copy(part, directory / f"{FILE_NAME}.salvaging")
        start(store, directory, set())
        assert list(directory.glob(f"{FILE_NAME}.salvag*")) == []
        assert len([name for name in kept(directory) if name.endswith("Z")]) == 1
        assert len(kept(directory)) == len(steps)
        for name in steps[:moved]:
            aside = directory / name.replace(FILE_NAME, f"{FILE_NAME}.damaged-{stamp}")
            assert aside.read_bytes() == whole[name]


def test_a_file_of_a_newer_format_is_left_alone(store: Store, tmp_path: Path) -> None:
    path = damaged(store, tmp_path / "data")
    spoil(path, 60, (7).to_bytes(4, "big"))
    if path.with_name(f"{FILE_NAME}-wal").exists():
        path.with_name(f"{FILE_NAME}-wal").unlink()
    with pytest.raises(StoreError, match="has format 7, this Leveret knows"):
        reopened(path.parent)
    assert kept(path.parent) == []


@given(st.data())
def test_no_bytes_are_too_strange(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("strange") / FILE_NAME
    kind = st.sampled_from([0, 1, 2, 5, 10, 13, 255])
    pages = data.draw(st.lists(st.tuples(kind, st.integers(0, 5), st.binary(max_size=60)), max_size=6))
    content = b"".join(
        bytes((first, 0, 0, 0, cells)) + rest.ljust(PAGE_BYTES - 5, rest[:1] or b"\0") for first, cells, rest in pages
    )
    if data.draw(st.booleans()):
        content = b"SQLite format 3\0\x40\0\x02\x02\0\x40\x20\x20" + content[24:]
    path.write_bytes(content)
    path.with_name(f"{FILE_NAME}-wal").write_bytes(data.draw(st.binary(max_size=80)) + content)
    inspect(path)
    read_damaged(path, path.with_name("new"))
