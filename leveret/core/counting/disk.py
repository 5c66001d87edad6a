"""What a log on a disk has done since the start."""

from __future__ import annotations

from mypy_extensions import i64


class DiskCounters:
    """commits: groups that were written, each in one transaction. failed: those that could not be.

    commit_s: seconds that all of them took, from the call that hands a group over until its result is seen.
    written: bytes of what they took in memory. reads: how often messages at rest were fetched. read: how many.
    """

    def __init__(self) -> None:
        self.commits: i64 = 0
        self.failed: i64 = 0
        self.commit_s = 0.0
        self.written: i64 = 0
        self.reads: i64 = 0
        self.read: i64 = 0
