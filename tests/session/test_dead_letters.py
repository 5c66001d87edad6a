"""Dead letters without a socket: the hand-over to other queues, what the operator hears, and who is called again."""

from __future__ import annotations

import pytest

from leveret.core.exchange.exchange import Binding
from leveret.core.message.message import Message, address
from leveret.core.queue import dead_letter
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.turn.work import LETTER, TURN
from leveret.wire.content import make_content
from leveret.wire.fields import Field, Table, long, longstr
from leveret.wire.methods import (
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicPublish,
    BasicReject,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.keeping import KeepingLog
from tests.clients.socketless import Peer, turn


class Scene:
    """A broker whose disk is slow, and a client."""

    def __init__(self) -> None:
        self.log = KeepingLog(hold=True)
        self.broker = self.log.broker()
        self.vhost = self.broker.vhosts["/"]
        self.peer = Peer(self.broker)
        self.tag = 0

    def queue(self, name: str, **arguments: Field) -> Queue:
        """Make a durable queue; argument names are written with underscores."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.vhost.make_queue(name, True, 0, False, named)

    def dying(self, name: str, to: str, **arguments: Field) -> Queue:
        """Make a queue whose dead letters go to another one by way of the default exchange."""
        letters = {"x_dead_letter_exchange": longstr(""), "x_dead_letter_routing_key": longstr(to)}
        return self.queue(name, **{**letters, **arguments})

    def publish(self, key: str, *bodies: bytes, persistent: bool = True, headers: Table | None = None) -> None:
        """Publish."""
        properties = BasicProperties()
        properties.delivery_mode = 2 if persistent else None
        properties.headers = headers
        for body in bodies:
            self.peer.send(BasicPublish("", key), body, properties)

    def message(self, body: bytes) -> Message:
        """A message that is in no queue."""
        return Message(address("", "key"), make_content(BasicProperties().encode(), body), False)

    def get(self, queue: str) -> tuple[bytes | None, Table]:
        """The body and the headers of the next message, no body when there is none."""
        self.peer.send(BasicGet(queue))
        (got,) = self.peer.got()
        if isinstance(got.method, BasicGetEmpty):
            return None, {}
        self.tag += 1
        assert got.properties is not None
        return got.body, got.properties.headers or {}

    def reject(self, queue: str) -> None:
        """Get a message and reject it."""
        assert self.get(queue)[0] is not None
        self.peer.send(BasicReject(self.tag, False))

    def kept(self, *queues: Queue) -> list[list[bytes]]:
        """What the log keeps for each queue."""
        return [self.log.of(queue.queue_id) for queue in queues]

    def commit(self) -> None:
        """Everything is durable."""
        self.log.memory.release()
        turn(self.broker)

    def ready(self, *queues: Queue) -> list[int]:
        """How many messages are ready in each queue."""
        turn(self.broker)
        return [len(queue.ready) for queue in queues]


@pytest.fixture
def scene() -> Scene:
    """One broker."""
    return Scene()


def test_the_source_keeps_a_message_until_the_copy_is_durable(scene: Scene) -> None:
    source, target = scene.dying("source", "target"), scene.queue("target")
    scene.publish("source", b"a")
    scene.commit()
    scene.reject("source")
    assert scene.ready(source, target) == [0, 1]
    assert scene.kept(source, target) == [[b"a"], [b"a"]]
    scene.commit()
    assert scene.kept(source, target) == [[], [b"a"]]


def test_the_copy_must_be_durable_in_every_queue(scene: Scene) -> None:
    source = scene.queue("source", x_dead_letter_exchange=longstr("amq.fanout"))
    targets = [scene.queue(name) for name in ("one", "two")]
    for target in targets:
        scene.vhost.bind(binding(scene, target))
    scene.publish("source", b"a")
    scene.commit()
    scene.reject("source")
    turn(scene.broker)
    scene.broker.news.on_durable(targets[0].queue_id, 1)
    assert scene.kept(source) == [[b"a"]]
    scene.broker.news.on_durable(targets[1].queue_id, 1)
    assert scene.kept(source) == [[]]


def binding(scene: Scene, queue: Queue) -> Binding:
    """From amq.fanout to the queue."""
    return Binding(scene.vhost.exchanges["amq.fanout"], queue, None, "", {})


@pytest.mark.parametrize("durable", [True, False])
def test_a_copy_that_is_not_kept_frees_the_source_at_once(scene: Scene, durable: bool) -> None:
    source, target = scene.dying("source", "target"), scene.vhost.make_queue("target", False, 0, False, {})
    scene.publish("source", b"a", persistent=durable)
    scene.reject("source")
    assert scene.ready(source, target) == [0, 1]
    assert scene.kept(source, target) == [[], []]


def test_a_refusal_of_the_log_leaves_the_message_with_the_source(scene: Scene) -> None:
    source, target = scene.dying("source", "target"), scene.queue("target")
    scene.publish("source", b"a")
    scene.commit()
    scene.reject("source")
    turn(scene.broker)
    scene.broker.news.on_refused(target.queue_id, [1], "disk full", False)
    scene.commit()
    assert scene.kept(source) == [[b"a"]]
    assert scene.get("target")[0] == b"a"


def test_a_full_target_loses_a_letter(scene: Scene) -> None:
    source = scene.dying("source", "target")
    target = scene.queue("target", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    scene.publish("source", b"a")
    scene.reject("source")
    assert scene.ready(source, target) == [0, 0]
    assert scene.kept(source, target) == [[], []]


AT_LEAST_ONCE: Table = {
    "x_dead_letter_strategy": longstr("at-least-once"),
    "x_overflow": longstr("reject-publish"),
}


@pytest.mark.parametrize("persistent", [True, False])
def test_at_least_once_waits_for_room(scene: Scene, persistent: bool) -> None:
    source = scene.dying("source", "target", **AT_LEAST_ONCE)
    target = scene.queue("target", x_max_length=long(1), x_overflow=longstr("reject-publish"))
    scene.publish("source", b"a", b"b", persistent=persistent)
    for _ in range(2):
        scene.reject("source")
    assert scene.ready(source, target) == [0, 1]
    scene.commit()
    assert scene.kept(source) == [[b"b"] if persistent else []]
    scene.broker.tick(10 * dead_letter.RETRY_MS)
    assert scene.ready(target) == [1]
    assert scene.get("target")[0] == b"a"
    scene.broker.tick(20 * dead_letter.RETRY_MS)
    assert scene.get("target")[0] == b"b"
    scene.commit()
    assert scene.kept(source) == [[]]
    scene.broker.tick(100 * dead_letter.RETRY_MS)
    assert scene.ready(target) == [0]


@pytest.mark.parametrize(
    "end", [{}, {"x_dead_letter_exchange": longstr(""), "x_dead_letter_routing_key": longstr("end")}]
)
def test_at_least_once_waits_for_room_in_a_queue_that_makes_dead_letters(scene: Scene, end: dict[str, Field]) -> None:
    source = scene.dying("source", "target", **AT_LEAST_ONCE)
    scene.queue("end")
    target = scene.queue("target", x_max_length=long(1), x_overflow=longstr("reject-publish-dlx"), **end)
    scene.publish("source", b"a", b"b")
    for _ in range(2):
        scene.reject("source")
    assert scene.ready(source, target) == [0, 1]
    assert scene.get("target")[0] == b"a"
    scene.broker.tick(dead_letter.RETRY_MS)
    assert scene.get("target")[0] == b"b"


def test_at_least_once_gives_a_letter_once_to_those_who_took_it(scene: Scene) -> None:
    scene.queue("source", x_dead_letter_exchange=longstr("amq.fanout"), **AT_LEAST_ONCE)
    good = scene.queue("good")
    full = scene.queue("full", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    for target in (good, full):
        scene.vhost.bind(binding(scene, target))
    scene.publish("source", b"a")
    scene.reject("source")
    for second in range(1, 5):
        scene.commit()
        scene.broker.tick(second * dead_letter.RETRY_MS)
    assert scene.ready(good, full) == [1, 0]


@pytest.mark.parametrize("key", [{}, {"x_dead_letter_routing_key": longstr("k" * 300)}])
def test_an_exchange_with_a_name_that_none_can_have(scene: Scene, key: dict[str, Field]) -> None:
    name = longstr("\u00e9" * 200)
    source = scene.queue("source", x_dead_letter_exchange=name, **key)
    waiting = scene.queue("waiting", x_dead_letter_exchange=name, **AT_LEAST_ONCE)
    scene.publish("source", b"a")
    scene.publish("waiting", b"b")
    for queue in ("source", "waiting"):
        scene.reject(queue)
    scene.commit()
    assert scene.kept(source, waiting) == [[], [b"b"]]
    assert ["does not exist" in text for text in scene.broker.explanations] == [True, True]
    assert scene.broker.faults.told == []


def test_at_least_once_waits_for_the_exchange_and_the_binding(scene: Scene) -> None:
    source, target = scene.queue("source", x_dead_letter_exchange=longstr("dlx"), **AT_LEAST_ONCE), scene.queue("t")
    scene.publish("source", b"a")
    scene.reject("source")
    scene.commit()
    assert scene.kept(source) == [[b"a"]]
    exchange = scene.vhost.declare_exchange("dlx", "fanout", False, False, False, {})
    scene.broker.tick(dead_letter.RETRY_MS)
    assert scene.ready(target) == [0]
    scene.vhost.bind(Binding(exchange, target, None, "", {}))
    scene.broker.tick(2 * dead_letter.RETRY_MS)
    assert scene.ready(target) == [1]
    assert ["waits" in text for text in scene.broker.explanations] == [True, True]


def test_a_log_that_fails_makes_no_more_copies(scene: Scene) -> None:
    source, target = scene.dying("source", "target", **AT_LEAST_ONCE), scene.queue("target")
    scene.publish("source", b"a")
    scene.commit()
    scene.reject("source")
    turn(scene.broker)
    scene.broker.news.on_refused(target.queue_id, [1], "disk full", False)
    for second in range(1, 5):
        scene.broker.tick(second * dead_letter.RETRY_MS)
        assert scene.ready(source, target) == [0, 1]
    scene.commit()
    assert scene.kept(source) == [[b"a"]]
    assert source.letters == 0


def test_a_log_that_fails_and_a_queue_that_is_full(scene: Scene) -> None:
    source = scene.queue("source", x_dead_letter_exchange=longstr("amq.fanout"), **AT_LEAST_ONCE)
    failing = scene.queue("failing")
    full = scene.queue("full", x_max_length=long(1), x_overflow=longstr("reject-publish"))
    for target in (failing, full):
        scene.vhost.bind(binding(scene, target))
    scene.publish("full", b"in the way")
    scene.publish("source", b"a")
    scene.commit()
    scene.reject("source")
    turn(scene.broker)
    scene.broker.news.on_refused(failing.queue_id, [1], "disk full", False)
    scene.broker.tick(dead_letter.RETRY_MS)
    assert scene.ready(failing, full) == [1, 1]
    scene.peer.send(QueuePurge("full"))
    scene.broker.tick(2 * dead_letter.RETRY_MS)
    scene.commit()
    assert scene.ready(failing, full) == [1, 1]
    assert scene.kept(source) == [[b"a"]]
    assert source.letters == 0


@pytest.mark.parametrize("limit", [{"x_max_length": long(2)}, {"x_max_length_bytes": long(6)}])
def test_letters_that_must_arrive_count_for_the_limits_of_their_queue(scene: Scene, limit: dict[str, Field]) -> None:
    scene.dying("source", "target", **AT_LEAST_ONCE, **limit)
    scene.queue("target", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    answers: list[str] = []

    def publish() -> None:
        scene.publish("source", b"abc", persistent=False)
        answers.extend(type(got.method).__name__ for got in scene.peer.got())

    publish()
    scene.reject("source")
    publish()
    publish()
    scene.vhost.remove_queue(scene.vhost.queues["target"])
    scene.queue("target")
    scene.broker.tick(dead_letter.RETRY_MS)
    scene.commit()
    publish()
    assert answers == ["BasicAck", "BasicAck", "BasicNack", "BasicAck"]


def waiting(scene: Scene, source: Queue, count: int) -> None:
    """So many letters of a queue that nobody takes."""
    for number in range(count):
        source.die(QueueEntry(scene.message(b"%d" % number), source, 0, 0), dead_letter.REJECTED)
    while scene.broker.is_busy():
        turn(scene.broker)


def test_those_that_waited_go_as_fast_as_they_are_taken(scene: Scene) -> None:
    count = 5 * dead_letter.TRIES_ALL
    source = scene.dying("source", "target", **AT_LEAST_ONCE)
    waiting(scene, source, count)
    assert not scene.broker.alarms.raised
    before = len(scene.broker.worklist)
    scene.broker.tick(dead_letter.RETRY_MS)
    assert before == len(scene.broker.worklist) == 0
    target = scene.queue("target")
    scene.broker.tick(2 * dead_letter.RETRY_MS)
    turns = 0
    while scene.broker.is_busy():
        taken = len(target.ready)
        turn(scene.broker)
        assert len(target.ready) - taken <= 2 * TURN // LETTER
        turns += 1
    scene.commit()
    assert turns > 5
    assert len(target.ready) == count
    assert source.letters == 0
    found = [int(each.message.body()) for each in target.ready.items()]
    assert sorted(found) == list(range(count))


def test_those_that_are_refused_again_have_some_tries_in_a_second(scene: Scene) -> None:
    sources = [scene.dying(name, "target", **AT_LEAST_ONCE) for name in ("one", "two")]
    scene.queue("target", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    for source in sources:
        waiting(scene, source, 2 * dead_letter.TRIES_ALL)
    for second in range(1, 4):
        refusals = scene.broker.refusals
        now_ms = second * dead_letter.RETRY_MS
        while scene.broker.tick(now_ms) == now_ms:
            pass
        assert scene.broker.refusals - refusals == 2 * dead_letter.TRIES_EACH
    assert [source.letters for source in sources] == [2 * dead_letter.TRIES_ALL] * 2


def test_those_that_nobody_takes_do_not_hold_up_others(scene: Scene) -> None:
    stuck = scene.dying("stuck", "full", **AT_LEAST_ONCE)
    scene.queue("full", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    source = scene.dying("source", "target", **AT_LEAST_ONCE)
    waiting(scene, stuck, dead_letter.TRIES_ALL)
    waiting(scene, source, 100)
    target = scene.queue("target")
    scene.broker.tick(dead_letter.RETRY_MS)
    assert scene.ready(target) == [100]


def test_letters_of_a_deleted_queue_are_not_tried_again(scene: Scene) -> None:
    source = scene.queue("source", x_dead_letter_exchange=longstr("dlx"), **AT_LEAST_ONCE)
    scene.publish("source", b"a")
    scene.reject("source")
    scene.vhost.remove_queue(source)
    assert scene.broker.tick(100 * dead_letter.RETRY_MS) is None
    assert scene.kept(source) == [[]]


def test_deletion_and_purge_make_no_letters(scene: Scene) -> None:
    source, target = scene.dying("source", "target"), scene.queue("target")
    scene.publish("source", b"a", b"b")
    scene.peer.send(QueuePurge("source"))
    scene.publish("source", b"c")
    scene.peer.send(QueueDelete("source"))
    scene.commit()
    assert [type(got.method) for got in scene.peer.got()] == [QueuePurgeOk, QueueDeleteOk]
    assert scene.ready(target) == [0]
    assert scene.kept(source, target) == [[], []]


def test_one_call_works_off_a_share(scene: Scene) -> None:
    source, target = scene.dying("source", "target", x_message_ttl=long(10)), scene.queue("target")
    count = TURN
    scene.publish("source", *[b"%d" % number for number in range(count)], persistent=False)
    assert len(source.ready) == count
    calls = 1
    while scene.broker.tick(10) == 10:
        calls += 1
        assert len(target.ready) <= calls * 3 * TURN // LETTER  # by a timer, by a job, and those that are left
    assert scene.ready(source, target) == [0, count]
    assert calls > 3
    assert [int(each.message.body()) for each in target.ready.items()] == list(range(count))


def test_a_turn_has_one_share_of_letters_however_many_clients_call(scene: Scene) -> None:
    source, target = scene.dying("source", "target", x_max_length=long(0)), scene.queue("target")
    scene.publish("source", *[b"%d" % number for number in range(TURN)], persistent=False)
    assert 0 < len(target.ready) <= TURN // LETTER
    assert len(target.ready) + len(scene.broker.worklist) == TURN
    while scene.broker.is_busy():
        before = len(target.ready)
        turn(scene.broker)
        assert len(target.ready) - before <= 2 * TURN // LETTER
    assert scene.ready(source, target) == [0, TURN]
    assert [int(each.message.body()) for each in target.ready.items()] == list(range(TURN))


def test_the_operator_hears_once_of_each_reason(scene: Scene) -> None:
    scene.queue("a", x_dead_letter_exchange=longstr("missing"))
    scene.queue("b", x_dead_letter_exchange=longstr("amq.direct"))
    scene.dying("c", "c", x_max_length=long(0))
    for _ in range(2):
        for name in ("a", "b"):
            scene.publish(name, b"x")
            scene.reject(name)
        scene.publish("c", b"x")
    turn(scene.broker)
    assert [text.partition(":")[0] for text in scene.broker.explanations] == [
        "queue 'a' in vhost '/'",
        "queue 'b' in vhost '/'",
        "queue 'c' in vhost '/'",
    ]
    for text, words in zip(
        scene.broker.explanations,
        (["'missing' does not exist", "declare"], ["'amq.direct'", "key 'b'", "bind"], ["cycle", "'c'"]),
        strict=True,
    ):
        assert all(word in text for word in words), text
    assert scene.log.kept == {}


def test_settings_are_read_when_a_message_dies(scene: Scene) -> None:
    source, target = scene.queue("source"), scene.queue("target")
    scene.publish("source", b"a")
    source.settings.dead_letter_exchange = ""
    source.settings.dead_letter_routing_key = "target"
    source.apply(source.settings)
    scene.reject("source")
    assert scene.ready(target) == [1]


def test_headers_that_cannot_be_read_do_not_stop_a_letter(scene: Scene) -> None:
    source, target = scene.dying("source", "target"), scene.queue("target")
    scene.publish("source", b"a", headers={"x": Field(0x53, b"text")})
    (stored,) = source.ready.items()
    message = stored.message
    broken = message.content.replace(b"\x01xS", b"\x01x?")
    assert broken != message.content
    stored.message = Message(message.address, broken, True)
    source.die(source.ready.pop(), dead_letter.REJECTED)
    assert scene.ready(target) == [1]
    body, headers = scene.get("target")
    assert (body, "x-death" in headers) == (b"a", True)


def test_a_routing_key_that_is_too_long_to_send(scene: Scene) -> None:
    key = "k" * 300
    scene.queue("source", x_dead_letter_exchange=longstr("amq.fanout"), x_dead_letter_routing_key=longstr(key))
    scene.vhost.bind(binding(scene, scene.queue("target")))
    scene.publish("source", b"a")
    scene.reject("source")
    assert scene.get("target")[0] == b"a"


def test_many_rejected_at_once_keep_their_order(scene: Scene) -> None:
    scene.dying("source", "target")
    target = scene.queue("target")
    scene.publish("source", *[b"%d" % number for number in range(20)])
    for _ in range(20):
        scene.get("source")
    scene.peer.send(BasicNack(0, True, False))
    assert scene.ready(target) == [20]
    assert [int(each.message.body()) for each in target.ready.items()] == list(range(20))


def test_counts_that_a_client_wrote_are_replaced(scene: Scene) -> None:
    queue = scene.queue("q", x_queue_type=longstr("quorum"))
    scene.publish("q", b"a", headers={"x-acquired-count": longstr("many"), "x-delivery-count": longstr("none")})
    queue.ready.first().redelivered = True  # as after a restart
    for count in (1, 2):
        scene.get("q")
        scene.peer.send(BasicReject(scene.tag, True))
        headers = queue.ready.first().message.properties().headers
        assert headers == {"x-acquired-count": long(count), "x-delivery-count": long(count)}
