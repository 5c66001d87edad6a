"""What the alarms are raised by: free space, memory, and trials to write."""

from __future__ import annotations

import asyncio
import errno
import mmap
from pathlib import Path

import pytest

from leveret.core.turn.alarms import MEMORY
from leveret.node.config import Config
from leveret.node.monitors import memory
from leveret.node.monitors.disk import (
    RESERVE_NAME,
    can_write,
    free_bytes,
    give_up_reserve,
    interval_s,
    keep_reserve,
)
from leveret.node.monitors.memory import group_limits, resident_memory, total_memory
from leveret.server.driver import Driver
from tests.clients.socketless import make_broker

LIMIT = 50_000_000


def test_defaults_are_those_of_rabbitmq() -> None:
    assert (Config().disk_free_limit, Config().memory_high_watermark) == (50_000_000, 0.6)


@pytest.mark.parametrize(
    ("free", "is_low", "expected"),
    [
        (LIMIT, False, 0.1),
        (LIMIT + 125_000_000, False, 1.0),
        (LIMIT + 500_000_000, False, 4.0),
        (10**12, False, 10.0),
        (0, True, 1.0),
    ],
)
def test_the_less_is_left_the_more_often_it_looks(free: int, is_low: bool, expected: float) -> None:
    assert interval_s(free, LIMIT, is_low) == pytest.approx(expected)


def test_a_trial_leaves_nothing(tmp_path: Path) -> None:
    assert can_write(tmp_path, 3_000_000)
    assert list(tmp_path.iterdir()) == []
    assert not can_write(tmp_path / "nowhere", 1)
    assert not can_write(Path("/dev/full"), 1)


def test_the_reserve(tmp_path: Path) -> None:
    assert not give_up_reserve(tmp_path)
    for _ in range(2):
        size = keep_reserve(tmp_path)
        assert size == (tmp_path / RESERVE_NAME).stat().st_size > 0
    assert give_up_reserve(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert keep_reserve(tmp_path / "nowhere") == 0


def test_free_space(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) is not None
    assert free_bytes(tmp_path / "nowhere") is None


def test_memory_of_this_process() -> None:
    before = resident_memory()
    assert before > 1_000_000
    with mmap.mmap(-1, 50_000_000) as ballast:  # new memory in any case: the allocator may have kept what was freed
        for at in range(0, len(ballast), mmap.PAGESIZE):
            ballast[at] = 1
        assert resident_memory() - before > 40_000_000


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        ({"proc/self/cgroup": "0::/\n"}, []),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "5000\n"}, [5000]),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, []),
        ({"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/memory.max": "4000\n"}, [4000]),
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/x\n0::/\n",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            [9223372036854771712, 3000],
        ),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, files: dict[str, str], expected: list[int]) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert group_limits(tmp_path) == expected


def test_memory_there_is() -> None:
    (line,) = [each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemTotal:")]
    assert total_memory() == min([int(line.split()[1]) * 1024, *group_limits()])


async def memory_alarm() -> bool:
    """Whether the alarm is raised some looks later."""
    driver = Driver(make_broker(), asyncio.get_running_loop())
    monitor = memory.MemoryMonitor(driver, 0.5)
    monitor.start()
    for _ in range(500):
        await asyncio.sleep(0.01)
        if driver.broker.alarms.raised:
            break
    monitor.stop()
    return driver.broker.alarms.raised == MEMORY


def test_the_memory_is_watched_after_no_file_descriptor_was_free(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int | OSError] = [OSError(errno.EMFILE, "too many open files"), 1 << 62]

    def resident() -> int:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(memory, "resident_memory", resident)
    monkeypatch.setattr(memory, "MEMORY_S", 0.01)
    assert asyncio.run(memory_alarm())
