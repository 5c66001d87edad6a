"""The record of refused publishes: repetitions are counted, and no user displaces the entries of another one."""

from __future__ import annotations

import pytest

from leveret.core.message.message import Address, Message, address, at_rest
from leveret.core.message.refused import FRESH, MOST, MOST_TEXT, UNROUTABLE, RefusedPublishes
from leveret.core.turn.clock import Clock
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties


class Scene:
    """A ring, and a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock(0, 1_000_000)
        self.refused = RefusedPublishes(self.clock)

    def where(self, key: str = "k", user: str = "u", connection: str = "c") -> Address:
        """An address of a publisher."""
        found = address("x", key)
        found.user = user
        found.connection = connection
        return found

    def add(self, where: Address, about: str = UNROUTABLE, vhost: str = "/", size: int = 1) -> bool:
        """Refuse a publish. Returns: whether it is new."""
        entry = self.refused.add(vhost, where, about, "", size)
        if entry is not None:
            entry.say(about, "nothing is bound", None)
        return entry is not None

    def counts(self) -> list[tuple[str, int]]:
        """Routing keys and counts, the latest first."""
        return [(entry.routing_key, int(entry.count)) for entry in self.refused.all()]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_one_more_of_the_same_is_counted(scene: Scene) -> None:
    same = scene.where()
    assert [scene.add(same, size=size) for size in (1, 2, 3)] == [True, False, False]
    scene.clock.now_ms = 500
    assert not scene.add(scene.where(connection="another"))
    (entry,) = scene.refused.all()
    assert (entry.count, entry.size, entry.connection) == (4, 1, "another")
    assert (entry.first_ms, entry.last_ms) == (1_000_000, 1_000_500)


def test_what_differs_is_told_apart(scene: Scene) -> None:
    same = scene.where()
    assert scene.add(same)
    assert scene.add(same, about="too_large")
    assert scene.add(same, vhost="other")
    assert scene.add(scene.where(user="v"))
    assert scene.add(scene.where("l"))
    assert not scene.add(same)
    assert len(scene.refused) == 5


def test_what_was_refused_last_comes_first(scene: Scene) -> None:
    for key in ("a", "b", "c", "a"):
        scene.add(scene.where(key))
    assert scene.counts() == [("a", 2), ("c", 1), ("b", 1)]


def test_of_many_different_ones_in_a_second_some_are_only_counted(scene: Scene) -> None:
    for number in range(FRESH + 5):
        scene.add(scene.where(f"k{number}"))
    assert (len(scene.refused), scene.refused.left_out) == (FRESH, 5)
    assert scene.add(scene.where("of another", user="v"))
    scene.clock.now_ms = 1_000
    assert scene.add(scene.where("late"))


def test_who_has_most_makes_room(scene: Scene) -> None:
    scene.add(scene.where("quiet", user="quiet"))
    for number in range(MOST + 10):
        scene.clock.now_ms = number * 1_000
        scene.add(scene.where(f"k{number}"))
    assert len(scene.refused) == MOST
    assert scene.counts()[0] == (f"k{MOST + 9}", 1)
    assert scene.counts()[-1] == ("quiet", 1)
    assert ("k10", 1) not in scene.counts()
    assert ("k11", 1) in scene.counts()


def test_what_is_gone_is_forgotten(scene: Scene) -> None:
    last = scene.where("k")
    scene.add(scene.where("l", user="v"), vhost="other")
    scene.add(last)
    scene.refused.forget("other", None)
    assert scene.counts() == [("k", 1)]
    scene.refused.forget(None, "u")
    assert (scene.counts(), len(scene.refused)) == ([], 0)
    assert scene.add(last)


def test_reasons_are_bounded_and_the_first_id_is_kept(scene: Scene) -> None:
    properties = BasicProperties()
    properties.message_id = "m1"
    where = scene.where()
    entry = scene.refused.add("/", where, UNROUTABLE, "", 1)
    assert entry is not None
    entry.say(UNROUTABLE, "x" * 1_000, Message(where, make_content(properties.encode(), b"m"), False))
    assert (len(entry.reason), entry.message_id) == (MOST_TEXT, "m1")


def test_the_id_of_a_message() -> None:
    properties = BasicProperties()
    content = make_content(properties.encode(), b"m")
    assert Message(address("", ""), content, False).message_id() == ""
    assert at_rest(Message(address("", ""), content, False)).message_id() == ""
    properties.headers = {}
    properties.expiration = "1000"
    properties.message_id = "mé"
    assert Message(address("", ""), make_content(properties.encode(), b"m"), False).message_id() == "mé"
