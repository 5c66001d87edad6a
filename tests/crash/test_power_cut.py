"""A few power cuts, and controls with a disk that lies about its syncs. `make crash` does many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.disk import WORTHLESS, Disk, Whim
from tests.crash.power import COMPILER, DATA, LIARS, Recording, build_recorder, control, cut_power, record
from tests.crash.workloads import WORKLOADS

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A broker that was recorded."""
    directory = tmp_path_factory.mktemp("power")
    return record(WORKLOADS["tx"], directory, build_recorder(directory), seed=1, load_s=0.3)


def test_the_record_is_whole(recording: Recording) -> None:
    """Everything that was recorded makes the files that are there."""
    disk = Disk()
    for entry in recording.entries:
        disk.replay(entry)
    contents = disk.cut(Whim.keeping(1.0)).contents
    files = {path: content for path, content in contents.items() if content is not None}
    there = {path.name: path.read_bytes() for path in (recording.directory / DATA).iterdir() if path.is_file()}
    replayed = {path.removeprefix(f"{DATA}/"): content for path, content in files.items()}
    assert there.keys() == replayed.keys()
    for name in there:
        assert name.endswith(WORTHLESS) or there[name] == replayed[name]
    assert len(there["leveret.db-wal"]) > 10_000


def test_the_name_of_the_data_directory_is_synced_before_anything_is_confirmed(recording: Recording) -> None:
    first = min(letter.confirmed for letter in recording.ledger.letters.values() if letter.confirmed is not None)
    disk = Disk()
    for entry in recording.entries:
        if entry.end <= first:
            disk.replay(entry)
    assert {f"{DATA}/leveret.db", f"{DATA}/leveret.db-wal"} <= disk.cut(Whim.keeping(0.0)).contents.keys()


def test_nothing_confirmed_is_lost(recording: Recording, tmp_path: Path) -> None:
    findings, counts = cut_power(recording, tmp_path, seed=1, count=6)
    assert findings == []
    assert counts["cuts"] == 6
    assert counts["confirmed"] > 100
    assert counts["audited"] > 0


@pytest.mark.parametrize("liar", LIARS)
def test_a_disk_that_does_not_sync_is_caught(recording: Recording, tmp_path: Path, liar: str) -> None:
    findings, _ = control(recording, tmp_path, seed=1, count=2, liar=liar)
    assert "lost" in {finding.kind for finding in findings}
