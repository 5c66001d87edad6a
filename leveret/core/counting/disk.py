"""Statistics of a log on a disk since the start."""

from __future__ import annotations

from mypy_extensions import i64


class DiskCounters:
    """commits: written groups, each in one transaction. failed: groups that could not be written.

    commit_s: total seconds of all commits, from the call that hands a group over until its result arrives.
    written: bytes that the written messages took in memory. reads: how often paged-out messages were fetched. read: how
    many messages.
    """

    def __init__(self) -> None:
        self.commits: i64 = 0
        self.failed: i64 = 0
        self.commit_s = 0.0
        self.written: i64 = 0
        self.reads: i64 = 0
        self.read: i64 = 0
