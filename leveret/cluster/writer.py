"""Writer: how a group is written to a database that may fail at any moment, without IO.

Each step of write() says what to ask the database, and is sent the answer. When a connection breaks during a commit,
its outcome is unknown. Then the writer connects again and raises the session number of the node, which waits for the
commit if it still runs, and looks whether it has arrived. If not, it sends the same commit again. No commit is ever
cancelled, and no group with an unknown outcome is refused.

A commit that returns with a warning is not certain: PostgreSQL stops waiting for a standby with a warning, and reports
success. Such a group counts as written only after another commit without a warning.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from leveret.cluster.commit import Commit
from leveret.store.group import Group

NUMBER_BIT: Final = 40  # the id of the node is above this bit of the number of a commit


@dataclass(frozen=True)
class Build:
    """Make the commit of a group, with this number. Answer: the Commit."""

    group: Group
    number: int


@dataclass(frozen=True)
class Execute:
    """Write a commit. Answer: Written."""

    commit: Commit
    session: int


@dataclass(frozen=True)
class Confirm:
    """Commit without a change: it is behind all commits before, and waits for the standby. Answer: Written."""


@dataclass(frozen=True)
class Connect:
    """Close the connection, and open another one. Answer: Connected."""


@dataclass(frozen=True)
class RaiseSession:
    """Raise the session number of this node by 1, if it is alive for the others. Answer: Raised."""


@dataclass(frozen=True)
class Look:
    """Look whether a commit has arrived. Answer: Arrived. One that changes nothing new may be sent twice."""

    commit: Commit


@dataclass(frozen=True)
class Read:
    """Read the definitions that exist of those that a commit was to create. Answer: Existing."""

    commit: Commit


@dataclass(frozen=True)
class Pause:
    """Wait before the next attempt to connect. Answer: anything."""


@dataclass(frozen=True)
class Written:
    """A commit returned. has_held: whether the fence has held; if not, nothing is written.

    created: how many of commit.created were written. has_warned: whether the database has sent a warning.
    """

    has_held: bool
    created: int
    has_warned: bool


@dataclass(frozen=True)
class Connected:
    """There is a new connection."""


@dataclass(frozen=True)
class Raised:
    """The new session number; None if this node is dead for the others."""

    session: int | None
    has_warned: bool


@dataclass(frozen=True)
class Arrived:
    """Whether a commit has arrived."""

    has: bool


@dataclass(frozen=True)
class Existing:
    """Kind, key and value of definitions."""

    found: list[tuple[str, str, bytes]]


@dataclass(frozen=True)
class Broken:
    """There is no connection, or no answer any more: nobody knows what the last step has done."""


Ask = Build | Execute | Confirm | Connect | RaiseSession | Look | Read | Pause
Answer = Commit | Written | Connected | Raised | Arrived | Existing | Broken
Steps = Generator[Ask, Answer, Commit]


class Lost(Exception):
    """This node does not belong to the cluster any more; the text says why."""


class Writer:
    """Writes the groups of a node, one after the other. session: of its connection, which the fence compares."""

    def __init__(self, node: int) -> None:
        self.session = 1
        self._node = node
        self._commits = 0

    def write(self, group: Group) -> Steps:
        """The steps to write a group. Sets group.conflicts. Returns: its commit, which is safe. Raises: Lost."""
        number = self._node << NUMBER_BIT | self._commits
        self._commits += 1
        while not isinstance(commit := (yield Build(group, number)), Commit):
            yield from self._reconnect()
        while not (yield from self._is_written(commit)):
            yield from self._reconnect()
            if (yield from self._has_arrived(commit)):
                commit.is_contested = bool(commit.created)
                break
        if commit.is_contested:
            group.conflicts = yield from self._conflicts(commit)
        return commit

    def _is_written(self, commit: Commit) -> Generator[Ask, Answer, bool]:
        """Send a commit. Returns: whether it is safe; otherwise the session has to be raised.

        A fence that does not hold is no proof that this node is dead: a statement of an earlier connection may have
        raised the session late. RaiseSession says which it is.
        """
        answer = yield Execute(commit, self.session)
        if not isinstance(answer, Written) or not answer.has_held:
            return False
        commit.is_contested = answer.created != len(commit.created)
        return not answer.has_warned or (yield from self._is_certain())

    def _is_certain(self) -> Generator[Ask, Answer, bool]:
        """After a warning, wait for a commit without one. Returns: False if the connection is lost."""
        while isinstance(answer := (yield Confirm()), Written):
            if not answer.has_warned:
                return True
        return False

    def _reconnect(self) -> Generator[Ask, Answer, None]:
        """Connect again, and raise the session. Raises: Lost."""
        while True:
            if isinstance((yield Connect()), Connected):
                answer = yield RaiseSession()
                if isinstance(answer, Raised):
                    if answer.session is None:
                        raise Lost("another node has declared it dead")
                    self.session = answer.session
                    if not answer.has_warned or (yield from self._is_certain()):
                        return
            yield Pause()

    def _has_arrived(self, commit: Commit) -> Generator[Ask, Answer, bool]:
        """Whether a commit of unknown outcome was written. Raises: Lost."""
        while not isinstance(answer := (yield Look(commit)), Arrived):
            yield from self._reconnect()
        return answer.has

    def _conflicts(self, commit: Commit) -> Generator[Ask, Answer, list[tuple[str, str, bytes]]]:
        """The definitions that other nodes have created before this one. Raises: Lost."""
        while not isinstance(answer := (yield Read(commit)), Existing):
            yield from self._reconnect()
        return [each for each in answer.found if each[2] != commit.created[each[0], each[1]]]
