"""Unacked: the deliveries of one channel that wait for an ack, by delivery tag."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.errors import unknown_tag
from leveret.core.message import Stored


class Unacked:
    """Delivery tags are added in ascending order, so a sweep for `multiple` can stop at the first one beyond."""

    __slots__ = ("_by_tag",)

    def __init__(self) -> None:
        self._by_tag: dict[int, Stored] = {}

    def __len__(self) -> int:
        return len(self._by_tag)

    def add(self, tag: i64, stored: Stored) -> None:
        """A delivery that wants an ack."""
        self._by_tag[int(tag)] = stored

    def oldest(self) -> Stored | None:
        """The one that was sent first."""
        for stored in self._by_tag.values():
            return stored
        return None

    def take(self, tag: int) -> Stored:
        """Take one. Raises: AmqpError 406 when the tag is not outstanding."""
        stored = self._by_tag.pop(tag, None)
        if stored is None:
            raise unknown_tag(tag, list(self._by_tag))
        return stored

    def take_up_to(self, tag: int) -> list[tuple[int, Stored]]:
        """Take all up to and including a tag, which must be outstanding; 0 takes all there are.

        Raises: AmqpError 406 when the tag is not outstanding.
        """
        if tag == 0:
            return self.take_all()
        if tag not in self._by_tag:
            raise unknown_tag(tag, list(self._by_tag))
        taken: list[tuple[int, Stored]] = []
        for each, stored in self._by_tag.items():
            if each > tag:
                break
            taken.append((each, stored))
        for each, _ in taken:
            del self._by_tag[each]
        return taken

    def take_all(self) -> list[tuple[int, Stored]]:
        """Take everything."""
        taken = list(self._by_tag.items())
        self._by_tag = {}
        return taken

    def give_back(self, taken: list[tuple[int, Stored]]) -> None:
        """Deliveries whose acks were rolled back are outstanding again, under their old tags."""
        self._by_tag = dict(sorted([*self._by_tag.items(), *taken], key=_tag))


def _tag(entry: tuple[int, Stored]) -> int:
    return entry[0]
