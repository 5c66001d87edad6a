"""Explain against what really happens: the same queues as Exchange.route() finds, and nothing changes by looking."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.access.user import Credential, Permission, TopicPermission, User
from leveret.core.broker import Broker
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.kinds import DELAYED, TYPES
from leveret.core.message.message import Message, address
from leveret.core.policy.matching import Matcher
from leveret.core.policy.policy import Policy
from leveret.core.queue.replies import REPLY_TO
from leveret.core.vhost import VirtualHost
from leveret.management.arguments import from_json
from leveret.management.explaining import explain as explaining
from leveret.management.explaining import walk as walking
from leveret.management.explaining.explain import explain
from leveret.management.explaining.reasons import topic_parts
from leveret.management.explaining.shapes import Explanation, Question, QueueStep
from leveret.wire.content import make_content
from leveret.wire.methods import BasicPublish, QueueBind, QueueBindOk, QueueDeclare, QueueDeclareOk
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker
from tests.core.test_routing_model import EXCHANGES, KEY, MATCH, PATTERN, QUEUES, TARGET, arguments, topic_matches

MADE: dict[str, dict[str, Any]] = {
    DELAYED: {"x-delayed-type": "topic"},
    "x-message-deduplication": {"x-cache-size": 5},
    "x-federation-upstream": {"x-max-hops": 1},
}
"""What exchanges of some types need."""
RANDOM = ("x-random", "x-local-random")


class Scene:
    """A virtual host, and questions about it."""

    def __init__(self) -> None:
        self.broker = make_broker()
        self.vhost = self.broker.vhosts["/"]

    def exchange(self, name: str, kind: str, **more: Any) -> None:
        """Declare an exchange."""
        given = from_json({**MADE.get(kind, {}), **{key.replace("_", "-"): value for key, value in more.items()}})
        self.vhost.declare_exchange(name, kind, False, False, False, given)

    def queue(self, name: str, **more: Any) -> None:
        """Declare a queue."""
        given = from_json({key.replace("_", "-"): value for key, value in more.items()})
        self.vhost.declare_queue(name, False, False, False, given, 0)

    def bind(self, source: str, destination: str, key: str = "", **more: Any) -> None:
        """Bind a queue, or an exchange where there is no such queue."""
        queue = self.vhost.queues.get(destination)
        exchange = None if queue is not None else self.vhost.exchanges[destination]
        self.vhost.bind(Binding(self.vhost.exchanges[source], queue, exchange, key, from_json(more)))

    def explain(
        self, exchange: str, key: str, headers: dict[str, Any] | None = None, user: User | None = None, **more: Any
    ) -> Explanation:
        """Explain a publish. more: properties, and the size of the body."""
        size = more.pop("size", 0)
        properties = BasicProperties()
        for name, value in more.items():
            setattr(properties, name, value)
        properties.headers = None if headers is None else from_json(headers)
        return answer(self.broker, self.vhost, Question(exchange, key, properties, size, user))


def answer(broker: Broker, vhost: VirtualHost, question: Question) -> Explanation:
    """What is said at last."""
    steps = explain(broker, vhost, question, list(broker.vhosts.values()))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Explanation = end.value
            return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def reached(found: Explanation) -> dict[str, bool]:
    """The queues of the publish, and whether chance decides."""
    return {step.name: step.is_by_chance for step in found.paths[0].queues}


# -- the truth


@given(
    kinds=st.lists(st.sampled_from(TYPES), min_size=len(EXCHANGES), max_size=len(EXCHANGES)),
    alternates=st.lists(st.none() | st.sampled_from(EXCHANGES), min_size=len(EXCHANGES), max_size=len(EXCHANGES)),
    bound=st.lists(st.tuples(st.sampled_from(EXCHANGES), TARGET, PATTERN, MATCH), max_size=12),
    keys=st.lists(KEY, min_size=1, max_size=3),
    headers=st.dictionaries(st.sampled_from(("h1", "h2", "x-received-from")), st.integers(0, 1)),
    start=st.sampled_from((*EXCHANGES, "")),
)
def test_the_queues_are_those_of_the_router(
    kinds: list[str], alternates: list[str | None], bound: Any, keys: list[str], headers: dict[str, Any], start: str
) -> None:
    scene = Scene()
    for name in (*QUEUES, "a"):
        scene.queue(name)
    for name, kind, alternate in zip(EXCHANGES, kinds, alternates, strict=True):
        scene.exchange(name, kind, **({} if alternate is None else {"alternate-exchange": alternate}))
    for source, (_, destination), key, match in bound:
        exchange = scene.vhost.exchanges[source]
        if exchange.kind == "x-consistent-hash":
            key = str(len(key) + 1)
        queue = scene.vhost.queues.get(destination)
        other = None if queue is not None else scene.vhost.exchanges[destination]
        if exchange.kind == "x-local-random":
            key, other = "", None
            queue = queue or scene.vhost.queues["q1"]
        scene.vhost.bind(Binding(exchange, queue, other, key, arguments(match)))
    given = dict(headers, CC=keys[1:]) if len(keys) > 1 else headers
    before = scene.broker._random.getstate()
    found = scene.explain(start, keys[0], given)
    assert scene.broker._random.getstate() == before
    certain = {name for name, is_by_chance in reached(found).items() if not is_by_chance}
    possible = set(reached(found))
    properties = BasicProperties()
    properties.headers = from_json(given)
    for _ in range(5 if set(kinds) & set(RANDOM) else 1):
        routed = {queue.name for queue in scene.vhost.exchanges[start].route(keys, properties).queues}
        assert certain <= routed <= possible
    if not set(kinds) & set(RANDOM):
        assert certain == possible
    assert (found.queue_count, set(found.queues)) == (len(possible), possible)
    assert found.outcome == ("routed" if possible else "unroutable")
    assert (found.is_complete, found.is_exact) == (True, True)


@given(pattern=st.lists(st.sampled_from("ab*#"), max_size=5), key=st.lists(st.sampled_from(("a", "b", "")), max_size=5))
def test_words_of_a_pattern_stand_for_those_of_a_key(pattern: list[str], key: list[str]) -> None:
    binding, routing = ".".join(pattern), ".".join(key)
    parts = topic_parts(binding, routing)
    assert (parts is not None) == topic_matches(binding, routing)
    if parts is not None:
        assert [word for word, _ in parts] == pattern
        assert list(itertools.chain.from_iterable(words for _, words in parts)) == (
            routing.split(".") if routing else []
        )
        assert all(len(words) == 1 for word, words in parts if word != "#")


def test_it_is_the_same_as_what_a_publish_reaches(scene: Scene) -> None:
    peer = Peer(scene.broker)
    for name in ("q1", "q2", "q3"):
        peer.call(QueueDeclare(name), QueueDeclareOk)
    peer.call(QueueBind("q1", "amq.topic", "a.*"), QueueBindOk)
    peer.call(QueueBind("q2", "amq.topic", "#.b"), QueueBindOk)
    found = scene.explain("amq.topic", "a.b")
    peer.send(BasicPublish("amq.topic", "a.b"), b"m")
    assert {name: len(queue.ready) for name, queue in scene.vhost.queues.items()} == {"q1": 1, "q2": 1, "q3": 0}
    assert found.queues == ["q1", "q2"]
    assert found.conclusion == "2 queues get it"


def test_nothing_changes_and_nothing_counts(scene: Scene) -> None:
    scene.queue("q", x_max_length=0, x_dead_letter_exchange="once")
    scene.exchange("once", "x-message-deduplication")
    scene.exchange("later", DELAYED)
    scene.exchange("recent", "x-recent-history")
    for source, destination in (("amq.fanout", "once"), ("once", "later"), ("later", "recent"), ("recent", "q")):
        scene.bind(source, destination, "#")
    generation = scene.vhost.generation
    for _ in range(2):
        found = scene.explain("amq.fanout", "k", {"x-deduplication-header": "v", "x-delay": 1_000})
    assert found.queues == ["q"]
    assert not any(each.is_duplicate for step in found.paths[0].exchanges for each in step.interceptions)
    queue = scene.vhost.queues["q"]
    assert (len(queue.ready), queue.counters.published, queue.counters.refused, scene.broker.refusals) == (0, 0, 0, 0)
    assert {exchange.counters.total().published for exchange in scene.vhost.exchanges.values()} == {0}
    assert (len(scene.broker.refused), len(scene.broker.timers), len(scene.broker.worklist)) == (0, 0, 0)
    assert scene.vhost.generation == generation


# -- who may publish


def somebody(write: str = ".*", topics: str | None = None) -> User:
    """A user with these permissions in /."""
    found = User("shop", Credential("", ""), ())
    found.permissions["/"] = Permission("", write, "", Matcher(print))
    if topics is not None:
        found.topic_permissions["/"] = {"amq.topic": TopicPermission(topics, "", Matcher(print))}
    return found


def test_permissions_decide(scene: Scene) -> None:
    scene.queue("q")
    scene.bind("amq.topic", "q", "#")
    allowed = scene.explain("amq.topic", "own.x", user=somebody("^amq", "^own"))
    assert [(check.what, check.is_passed, check.pattern) for check in allowed.checks] == [
        ("permission", True, "^amq"),
        ("topic_permission", True, "^own"),
    ]
    refused = scene.explain("amq.topic", "own.x", user=somebody("^other"))
    assert (refused.outcome, refused.checks[-1].pattern) == ("refused", "^other")
    assert refused.conclusion == (
        "the publish is refused: user 'shop' may not write to exchange 'amq.topic', because the pattern does not match "
        "its name; otherwise 1 queue gets it"
    )
    topic = scene.explain("amq.topic", "own.x", {"CC": ["other.x"]}, somebody(topics="^own"))
    assert [check.is_passed for check in topic.checks] == [True, True, False]
    assert "'other.x'" in topic.conclusion
    nobody = scene.explain("amq.topic", "k", user=User("none", Credential("", ""), ()))
    assert "no permission in virtual host '/'" in nobody.conclusion
    assert scene.explain("", "q", user=somebody("^amq.default$")).outcome == "routed"
    assert scene.explain("amq.topic", "k").checks == []


@pytest.mark.parametrize(
    ("about", "what", "words"),
    [
        ({"size": 1_000}, "size", "1000 bytes; at most 999"),
        ({"expiration": "soon"}, "properties", "expiration"),
        ({"headers": {"CC": "q"}}, "properties", "CC"),
        ({"user_id": "other"}, "properties", "user_id"),
    ],
    ids=["size", "expiration", "cc", "user id"],
)
def test_messages_that_are_not_let_in(scene: Scene, about: dict[str, Any], what: str, words: str) -> None:
    scene.broker.max_message_size = 999
    scene.queue("q")
    found = scene.explain("", "q", user=somebody(), **about)
    assert (found.outcome, found.checks[-1].what) == ("refused", what)
    assert words in found.conclusion


def test_exchanges_that_nobody_publishes_to(scene: Scene) -> None:
    assert "internal" in scene.explain("amq.rabbitmq.trace", "k").conclusion
    missing = scene.explain("amq.Topic", "k")
    assert (missing.outcome, missing.paths) == ("refused", [])
    assert missing.hints == ["there is exchange 'amq.topic', which differs in upper and lower case"]
    scene.broker.add_vhost("shop").declare_exchange("orders", "fanout", False, False, False, {})
    assert scene.explain("orders", "k").hints == ["there is an exchange with this name in virtual host 'shop'"]


def test_a_way_back_of_direct_reply_to(scene: Scene) -> None:
    scene.vhost.open_replies(1)
    (name,) = scene.vhost.replies
    (step,) = scene.explain("", name).paths[0].queues
    assert (step.type, step.outcome) == ("reply", "takes")
    (check,) = scene.explain("", name, reply_to=REPLY_TO).checks
    assert (check.what, check.is_passed) == ("properties", True)


# -- exchanges


def test_reasons(scene: Scene) -> None:
    scene.queue("q")
    cases: list[tuple[str, str, dict[str, Any], str, dict[str, Any], str]] = [
        ("direct", "k", {}, "k", {}, "the keys are equal"),
        ("direct", "k2", {}, "k", {"CC": ["k2"]}, "it is equal to 'k2' of CC or BCC"),
        ("direct", "k2", {}, "k", {"BCC": ["k2"]}, "it is equal to 'k2' of CC or BCC"),
        ("fanout", "", {}, "k", {}, "it matches every message"),
        ("topic", "a.*.#", {}, "a.b", {}, "'*' stands for 'b', '#' stands for no word"),
        ("topic", "a.b", {}, "a.b", {}, "the keys are equal"),
        ("topic", "#", {}, "k", {}, "'#' stands for 'k'"),
        (
            "headers",
            "",
            {"n": 1, "there": None},
            "k",
            {"n": 1, "there": "x"},
            "x-match is all, and n is 1 and there is",
        ),
        ("headers", "", {"x-match": "any", "n": 1, "m": 2}, "k", {"m": 2}, "x-match is any, and m is 2"),
        ("headers", "", {}, "k", {}, "it requires no headers"),
        ("x-consistent-hash", "3", {}, "k", {}, "of 1 destinations, the hash of the routing key chooses this one"),
        ("x-modulus-hash", "", {}, "k", {}, "of 1 bindings, the hash of the routing key chooses this one"),
        ("x-random", "", {}, "k", {}, "of 1 bindings, one is chosen at random"),
        ("x-federation-upstream", "", {}, "k", {}, "the message may be forwarded to the downstream"),
    ]
    for number, (kind, binding, more, key, headers, reason) in enumerate(cases):
        scene.exchange(f"x{number}", kind)
        scene.bind(f"x{number}", "q", binding, **more)
        found = scene.explain(f"x{number}", key, headers)
        (match,) = found.paths[0].exchanges[0].matches
        assert match.reason.startswith(reason), (kind, match.reason)
        assert (match.destination, match.destination_type, match.routing_key, match.arguments) == (
            "q",
            "queue",
            binding,
            more,
        )


def test_exchanges_between_exchanges_are_come_to_once(scene: Scene) -> None:
    for name in ("a", "b"):
        scene.exchange(name, "fanout")
    scene.queue("q")
    for source, destination in (("a", "b"), ("b", "a"), ("b", "q"), ("a", "q")):
        scene.bind(source, destination)
    first, second = scene.explain("a", "k").paths[0].exchanges
    assert (first.name, first.came_by, first.came_from) == ("a", "publish", None)
    assert (second.name, second.came_by, second.came_from) == ("b", "binding", 0)
    assert [(match.destination, match.was_visited) for match in second.matches] == [("a", True), ("q", False)]


def test_chance(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        scene.queue(name)
    scene.exchange("one", "x-random")
    scene.bind("one", "a")
    assert scene.explain("one", "k").conclusion == "1 queue gets it"
    scene.bind("one", "b")
    found = scene.explain("one", "k")
    assert found.conclusion == "it is random which of 2 queues get it"
    assert found.paths[0].exchanges[0].text == "one of its 2 bindings is chosen at random"
    scene.exchange("all", "fanout")
    scene.bind("all", "one")
    scene.bind("all", "c")
    assert scene.explain("all", "k").conclusion == "1 queue gets it, and possibly some of 2 more, at random"
    scene.bind("all", "a")
    assert reached(scene.explain("all", "k")) == {"a": False, "b": True, "c": False}


def test_what_is_certain_after_all_is_certain(scene: Scene) -> None:
    scene.queue("q")
    for name, kind in (("start", "fanout"), ("chance", "x-random"), ("a", "fanout"), ("b", "fanout"), ("c", "fanout")):
        scene.exchange(name, kind)
    links = [("start", "chance"), ("start", "c"), ("chance", "a"), ("chance", "b"), ("a", "q"), ("c", "a")]
    for source, destination in links:
        scene.bind(source, destination)
    found = scene.explain("start", "k")
    assert reached(found) == {"q": False}
    assert [step.name for step in found.paths[0].exchanges] == ["start", "chance", "c", "a", "b"]


def test_alternates(scene: Scene) -> None:
    scene.queue("q")
    scene.exchange("rest", "fanout")
    scene.bind("rest", "q")
    scene.exchange("own", "direct", alternate_exchange="rest")
    scene.exchange("ruled", "direct")
    scene.exchange("lost", "direct", alternate_exchange="nowhere")
    scene.vhost.set_policy(Policy("rule", "^ruled$", {"alternate-exchange": "rest"}, 0, "exchanges"))
    scene.broker.finish()
    for name, who in (("own", "argument alternate-exchange"), ("ruled", "policy 'rule'")):
        found = scene.explain(name, "k")
        first, second = found.paths[0].exchanges
        assert first.alternate is not None
        assert (first.alternate.exchange, first.alternate.said_by, first.alternate.is_taken) == ("rest", who, True)
        assert (second.name, second.came_by, found.queues) == ("rest", "alternate", ["q"])
    scene.bind("own", "q", "k")
    first = scene.explain("own", "k").paths[0].exchanges[0]
    assert first.alternate is not None
    assert not first.alternate.is_taken
    lost = scene.explain("lost", "k").paths[0].exchanges[0]
    assert lost.alternate is not None
    assert not lost.alternate.is_there
    assert "does not exist" in lost.text


def test_what_exchanges_do_with_each_message(scene: Scene) -> None:
    scene.queue("q")
    scene.exchange("later", DELAYED)
    scene.exchange("once", "x-message-deduplication")
    scene.exchange("recent", "x-recent-history")
    for name in ("later", "once", "recent"):
        scene.bind(name, "q", "#")
    found = scene.explain("later", "k", {"x-delay": 5_000})
    (delay,) = found.paths[0].exchanges[0].interceptions
    assert (delay.what, delay.delay_ms, found.conclusion) == ("delay", 5_000, "1 queue gets it, 5000 ms later")
    assert scene.explain("later", "k", {"x-delay": 0}).paths[0].exchanges[0].interceptions == []
    (kept,) = scene.explain("recent", "k").paths[0].exchanges[0].interceptions
    assert kept.what == "history"
    headers: dict[str, Any] = {"x-deduplication-header": "v"}
    (before,) = scene.explain("once", "k", headers).paths[0].exchanges[0].interceptions
    assert (before.what, before.is_duplicate) == ("deduplication", False)
    properties = BasicProperties()
    properties.headers = from_json(headers)
    message = Message(address("once", "k"), make_content(properties.encode(), b"m"), False)
    for queue in scene.vhost.exchanges["once"].route(["k"], properties, message).queues:
        queue.publish(message, None)
    duplicate = scene.explain("once", "k", headers)
    assert (duplicate.outcome, duplicate.queues) == ("unroutable", [])
    assert "duplicate" in duplicate.conclusion
    assert scene.explain("once", "k", {"x-deduplication-header": "w"}).queues == ["q"]


# -- queues


def one_queue(scene: Scene, name: str = "q", **more: Any) -> QueueStep:
    """What is said of a queue."""
    (step,) = scene.explain("", name, **more).paths[0].queues
    return step


def fill(scene: Scene, name: str, count: int = 1, headers: dict[str, Any] | None = None) -> None:
    """Publish to a queue."""
    properties = BasicProperties()
    properties.headers = None if headers is None else from_json(headers)
    for _ in range(count):
        scene.vhost.queues[name].publish(
            Message(address("", name), make_content(properties.encode(), b"12345"), False), None
        )


def test_full_queues(scene: Scene) -> None:
    scene.queue("rejects", x_max_length=2, x_overflow="reject-publish")
    scene.queue("drops", x_max_length_bytes=10)
    scene.queue("dies", x_max_length=1, x_overflow="reject-publish-dlx", x_dead_letter_exchange="")
    scene.queue("none", x_max_length=0)
    for name in ("rejects", "drops", "dies"):
        fill(scene, name)
    assert [one_queue(scene, name, size=5).outcome for name in ("rejects", "drops")] == ["takes", "takes"]
    for name in ("rejects", "drops"):
        fill(scene, name)
    rejects = one_queue(scene, "rejects")
    assert (rejects.outcome, rejects.ready) == ("refuses", 2)
    assert rejects.text == "it has 2 of at most 2 messages (argument x-max-length): it rejects the message"
    drops = one_queue(scene, "drops", size=1)
    assert (drops.outcome, drops.text) == (
        "drops_head",
        "it has 10 of at most 10 bytes (argument x-max-length-bytes): it takes the message and drops its oldest ones",
    )
    assert "becomes a dead letter" in one_queue(scene, "dies").text
    assert "dropped, unless a consumer" in one_queue(scene, "none").text
    refused = scene.explain("", "rejects")
    assert (refused.outcome, refused.conclusion) == ("routed", "1 queue gets it, but it does not take it: 'rejects'")


def test_queues_that_are_faulty_or_hold_the_same(scene: Scene) -> None:
    scene.queue("q")
    scene.queue("once", **{"x-message-deduplication": True})
    headers: dict[str, Any] = {"x-deduplication-header": "v"}
    assert one_queue(scene, "once", headers=headers).outcome == "takes"
    fill(scene, "once", headers=headers)
    assert one_queue(scene, "once", headers=headers).outcome == "duplicate"
    scene.vhost.queues["q"].fail("think", ValueError("broken"))
    faulty = one_queue(scene)
    assert faulty.outcome == "refuses"
    assert "cannot think" in faulty.text


def test_queues_that_hold_the_same_id_or_hold_back(scene: Scene) -> None:
    scene.queue("ids", x_deduplicate_by="message-id")
    scene.queue("slow", x_delivery_rate=5, x_hold_until_header="due")
    scene.queue("paused", x_paused=True)
    properties = BasicProperties()
    properties.message_id = "same"
    assert one_queue(scene, "ids", message_id="same").outcome == "takes"
    message = Message(address("", "ids"), make_content(properties.encode(), b""), False)
    scene.vhost.queues["ids"].publish(message, None)
    assert one_queue(scene, "ids", message_id="same").text.startswith(
        "it already had a message with the same message-id"
    )
    assert one_queue(scene, "ids", message_id="other").outcome == "takes"
    notes = one_queue(scene, "slow", headers={"due": 5_000}).notes
    assert "it delivers at most 5 messages per second (argument x-delivery-rate)" in notes
    assert "it holds the message until the time in its header 'due' (argument x-hold-until-header)" in notes
    assert one_queue(scene, "paused").is_paused


def test_whose_ttl_counts(scene: Scene) -> None:
    scene.queue("own", x_message_ttl=5_000)
    scene.queue("ruled")
    scene.queue("limited", x_message_ttl=5_000)
    scene.queue("none")
    scene.vhost.set_policy(Policy("short", "^ruled$", {"message-ttl": 4_000}, 0, "queues"))
    scene.vhost.set_operator_policy(Policy("shorter", "^limited$", {"message-ttl": 3_000}, 0, "queues"))
    scene.broker.finish()
    found = {
        name: (step.ttl_ms, step.ttl_said_by)
        for name in ("own", "ruled", "limited", "none")
        for step in [one_queue(scene, name)]
    }
    assert found == {
        "own": (5_000, "argument x-message-ttl"),
        "ruled": (4_000, "policy 'short'"),
        "limited": (3_000, "operator policy 'shorter'"),
        "none": (None, ""),
    }
    step = one_queue(scene, "own", expiration="10")
    assert (step.ttl_ms, step.ttl_said_by) == (10, "property expiration")
    assert one_queue(scene, "own", expiration="9000").ttl_ms == 5_000
    ruled = one_queue(scene, "ruled")
    assert (ruled.policy, ruled.operator_policy) == ("short", None)
    assert any("expires at once" in note for note in one_queue(scene, "none", expiration="0").notes)


def test_notes(scene: Scene) -> None:
    scene.queue("q", x_max_priority=5)
    assert one_queue(scene, priority=9).notes == [
        "it has no consumers: the message waits",
        "the message has priority 5 there",
    ]
    scene.vhost.declare_queue("quorum", True, False, False, from_json({"x-queue-type": "quorum"}), 0)
    assert any("more than 20 times" in note for note in one_queue(scene, "quorum").notes)
    scene.vhost.declare_queue("durable", True, False, False, {}, 0)
    assert any("not persistent" in note for note in one_queue(scene, "durable").notes)
    assert not any("not persistent" in note for note in one_queue(scene, "durable", delivery_mode=2).notes)
    scene.vhost.queues["q"].pause()
    assert one_queue(scene).is_paused


# -- dead letters


def test_dead_letters_are_followed(scene: Scene) -> None:
    scene.queue("q", x_dead_letter_exchange="dlx", x_message_ttl=1_000, x_max_length=5)
    scene.queue("again", x_dead_letter_exchange="", x_dead_letter_routing_key="last")
    scene.queue("last")
    scene.exchange("dlx", "direct")
    scene.bind("dlx", "again", "q")
    scene.bind("dlx", "again", "extra")
    found = scene.explain("", "q", {"CC": ["extra"]})
    assert [(path.exchange, path.routing_keys) for path in found.paths] == [
        ("", ["q", "extra"]),
        ("dlx", ["q", "extra"]),
        ("", ["last"]),
    ]
    letters = found.paths[0].queues[0].dead_letters
    assert letters is not None
    assert (letters.path, letters.reasons, letters.comes_back) == (1, ["rejected", "expired", "maxlen"], False)
    assert found.paths[1].exchanges[0].came_by == "dead_letter"
    assert [step.name for step in found.paths[2].queues] == ["last"]
    assert found.paths[1].queues[0].ttl_ms is None


def test_dead_letters_that_come_back(scene: Scene) -> None:
    scene.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="wait")
    scene.queue("wait", x_dead_letter_exchange="", x_dead_letter_routing_key="q", x_message_ttl=1_000)
    scene.queue("self", x_dead_letter_exchange="")
    found = scene.explain("", "q")
    steps = {step.name: step for path in found.paths for step in path.queues}
    assert {name: step.dead_letters is not None and step.dead_letters.comes_back for name, step in steps.items()} == {
        "q": True,
        "wait": True,
    }
    assert len(found.paths) == 2
    own = scene.explain("", "self").paths[0].queues[0].dead_letters
    assert own is not None
    assert (own.path, own.comes_back) == (0, True)


def test_dead_letters_that_go_nowhere(scene: Scene) -> None:
    scene.queue("q", x_dead_letter_exchange="missing")
    scene.queue("unbound", x_dead_letter_exchange="amq.direct")
    letters = scene.explain("", "q").paths[0].queues[0].dead_letters
    assert letters is not None
    assert (letters.is_there, letters.path) == (False, None)
    found = scene.explain("", "unbound")
    assert (found.paths[1].exchange, found.paths[1].queue_count) == ("amq.direct", 0)


def test_only_so_many_ways_of_dead_letters_are_followed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_PATHS", 5)
    for number in range(10):
        scene.queue(f"q{number}", x_dead_letter_exchange="", x_dead_letter_routing_key=f"q{number + 1}")
    found = scene.explain("", "q0")
    assert len(found.paths) == 5
    assert not found.is_complete


# -- what may have been meant


@pytest.mark.parametrize(
    ("kind", "binding", "more", "key", "headers", "hint"),
    [
        ("direct", "orders.new", {}, "Orders.New", {}, "differs in upper and lower case"),
        ("direct", "orders.new", {}, "orders.nw", {}, "differs in a few characters"),
        ("direct", "orders.new", {}, "orders.new ", {}, "differs in spaces"),
        ("direct", "orders.*", {}, "orders.new", {}, "has wildcards, which only work in a topic exchange"),
        ("topic", "orders.*", {}, "Orders.new", {}, "differs in upper and lower case"),
        ("topic", "orders.*", {}, "orders.new.eu", {}, "'*' stands for exactly one word"),
        (
            "topic",
            "orders.*",
            {},
            "orders/new",
            {},
            "would match if the words of the routing key were separated by dots",
        ),
        ("topic", "orders.*.eu", {}, "ordesr.new.eu", {}, "has the word 'orders' instead of 'ordesr'"),
        ("headers", "", {"n": 1}, "", {"n": "1"}, "expects header 'n' as a signedint, not longstr"),
        ("headers", "", {"type": "pdf"}, "", {"Type": "pdf"}, "differs from 'Type'"),
        ("headers", "", {"type": "pdf"}, "", {"type": "csv"}, "expects header 'type' to be 'pdf', not 'csv'"),
        ("headers", "", {"type": "pdf"}, "", {}, "expects header 'type', which the message does not have"),
    ],
    ids=str,
)
def test_near_misses(
    scene: Scene, kind: str, binding: str, more: dict[str, Any], key: str, headers: dict[str, Any], hint: str
) -> None:
    scene.queue("q")
    scene.exchange("x", kind)
    scene.bind("x", "q", binding, **more)
    found = scene.explain("x", key, headers)
    assert found.outcome == "unroutable"
    assert "has no binding for the routing key" in found.conclusion
    (told,) = found.hints
    assert hint.replace("signedint", "long") in told


def test_queues_that_may_have_been_meant(scene: Scene) -> None:
    scene.queue("orders")
    scene.broker.add_vhost("shop").declare_queue("Orders", False, False, False, {}, 0)
    found = scene.explain("", "Orders")
    assert found.conclusion == (
        "no queue gets it: there is no queue 'Orders'. With mandatory it is returned, otherwise it is dropped"
    )
    assert found.hints == [
        "there is a queue 'Orders' in virtual host 'shop'",
        "there is queue 'orders', which differs in upper and lower case",
    ]
    assert scene.explain("", "something else").hints == []


def test_only_the_nearest_are_told(scene: Scene) -> None:
    scene.queue("q")
    for number in range(20):
        scene.bind("amq.direct", "q", f"orders{number:02}")
    scene.bind("amq.direct", "q", "ORDERS")
    hints = scene.explain("amq.direct", "orders").hints
    assert len(hints) == 5
    assert "upper and lower case" in hints[0]


def test_alarms_are_told(scene: Scene) -> None:
    from leveret.core.turn.alarms import DISK

    scene.broker.alarms.set(DISK, True)
    assert "publishers are blocked" in scene.explain("", "q").hints[0]


# -- much of it


def test_answers_are_bounded_and_counts_are_not(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MOST_MATCHES", 10)
    monkeypatch.setattr(walking, "MOST_QUEUES", 7)
    monkeypatch.setattr(walking, "MOST_EXCHANGES", 3)
    monkeypatch.setattr(explaining, "MOST_NAMES", 20)
    for number in range(30):
        scene.queue(f"q{number}")
        scene.bind("amq.fanout", f"q{number}")
    for number in range(5):
        scene.exchange(f"x{number}", "fanout")
        scene.bind("amq.fanout", f"x{number}")
    found = scene.explain("amq.fanout", "k")
    path = found.paths[0]
    assert (len(path.exchanges), len(path.exchanges[0].matches), len(path.queues), len(found.queues)) == (3, 10, 7, 20)
    assert (found.queue_count, path.exchanges[0].matched, found.is_complete) == (30, 35, False)
    assert found.conclusion == "30 queues get it"


def test_long_arguments_are_left_out(scene: Scene) -> None:
    scene.queue("q")
    scene.bind("amq.fanout", "q", "k", long="x" * 2_000)
    scene.bind("amq.fanout", "q", "l", short="x")
    long, short = scene.explain("amq.fanout", "k").paths[0].exchanges[0].matches
    assert (long.arguments, short.arguments) == ({}, {"short": "x"})


def test_it_is_done_in_pieces(scene: Scene) -> None:
    scene.queue("q")
    for number in range(2_000):
        scene.bind("amq.fanout", "q", f"k{number}")
        scene.bind("amq.direct", "q", f"k{number}")
    for exchange, pieces in (("amq.fanout", 2_000 // 50), ("amq.direct", 2_000 // 10)):
        steps = explain(scene.broker, scene.vhost, Question(exchange, "other", BasicProperties(), 0, None), [])
        assert sum(1 for _ in steps) >= pieces


def test_it_begins_anew_when_something_changes(scene: Scene) -> None:
    scene.queue("q")
    scene.bind("amq.fanout", "q")
    question = Question("amq.fanout", "k", BasicProperties(), 0, None)
    steps = explain(scene.broker, scene.vhost, question, [])
    next(steps)
    scene.queue("late")
    scene.bind("amq.fanout", "late")
    found = run(steps)
    assert (found.queues, found.is_exact) == (["q", "late"], True)


def test_it_ends_though_everything_changes(scene: Scene) -> None:
    scene.queue("q")
    scene.bind("amq.fanout", "q")
    steps = explain(scene.broker, scene.vhost, Question("amq.fanout", "k", BasicProperties(), 0, None), [])
    number = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Explanation = end.value
            break
        number += 1
        scene.queue(f"more{number}")
    assert (found.queues, found.is_exact) == (["q"], False)


def run(steps: Any) -> Explanation:
    """The rest of the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Explanation = end.value
            return found
