"""x-consistent-hash, x-modulus-hash, x-random, x-local-random: their distributions, and what changes move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import Field, Table, long, longstr, signedint, table
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import make_broker

KEYS = [f"order.{number}" for number in range(4000)]


def make(kind: str, arguments: Table | None = None) -> tuple[VirtualHost, Exchange]:
    """An exchange in a virtual host of its own."""
    vhost = make_broker().vhosts["/"]
    return vhost, vhost.declare_exchange("x", kind, False, False, False, arguments or {})


def bind(vhost: VirtualHost, exchange: Exchange, name: str, key: str) -> Binding:
    """Bind a queue, and create it if needed."""
    queue = vhost.declare_queue(name, False, False, False, {}, 1)
    binding = Binding(exchange, queue, None, key, {})
    vhost.bind(binding)
    return binding


def target(exchange: Exchange, key: str, properties: BasicProperties | None = None) -> str:
    """The single queue that a message is routed to."""
    (queue,) = exchange.route([key], properties or BasicProperties()).queues
    return queue.name


def assert_shares(targets: list[str], weights: dict[str, int]) -> None:
    """Check that each queue got the share of its weight, within five standard deviations."""
    total = sum(weights.values())
    for name, weight in weights.items():
        share = weight / total
        expected = share * len(targets)
        deviation = (len(targets) * share * (1 - share)) ** 0.5
        assert abs(targets.count(name) - expected) < 5 * deviation, (name, targets.count(name), expected)


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {f"q{n}": 1 for n in range(10)}, {"a": 1, "b": 2, "c": 7}])
def test_consistent_hash_spreads_by_weight(weights: dict[str, int]) -> None:
    vhost, exchange = make("x-consistent-hash")
    for name, weight in weights.items():
        bind(vhost, exchange, name, str(weight))
    assert_shares([target(exchange, key) for key in KEYS], weights)


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.integers(1, 20), min_size=2, max_size=8), st.data())
def test_only_what_has_to_moves(weights: dict[str, int], data: st.DataObject) -> None:
    vhost, exchange = make("x-consistent-hash")
    bindings = {name: bind(vhost, exchange, name, str(weight)) for name, weight in weights.items()}
    before = [target(exchange, key) for key in KEYS[:500]]
    gone = data.draw(st.sampled_from(sorted(weights)))
    vhost.unbind(bindings[gone])
    for key, earlier in zip(KEYS, before, strict=False):
        assert (target(exchange, key) == earlier) == (earlier != gone)
    vhost.bind(bindings[gone])  # what comes back gets what it had, though it is the last one now
    assert [target(exchange, key) for key in KEYS[:500]] == before


def test_consistent_hash_is_the_same_on_every_broker() -> None:
    """Pinned: if these change, an upgrade sends the messages of one order to two consumers."""
    vhost, exchange = make("x-consistent-hash")
    for name in ("a", "b", "c"):
        bind(vhost, exchange, name, "1")
    assert "".join(target(exchange, key) for key in KEYS[:24]) == PINNED


PINNED = "cbaaaabcbabaccababbaacba"


def test_of_two_bindings_of_a_queue_the_first_one_counts() -> None:
    vhost, exchange = make("x-consistent-hash")
    first = bind(vhost, exchange, "a", "1")
    bind(vhost, exchange, "a", "9")
    bind(vhost, exchange, "b", "1")
    assert_shares([target(exchange, key) for key in KEYS], {"a": 1, "b": 1})
    vhost.unbind(first)
    assert_shares([target(exchange, key) for key in KEYS], {"a": 9, "b": 1})


def test_a_message_goes_one_way_whatever_its_cc() -> None:
    for kind in ("x-consistent-hash", "x-modulus-hash", "x-random"):
        vhost, exchange = make(kind)
        for name in ("a", "b", "c"):
            bind(vhost, exchange, name, "1")
        for key in KEYS[:50]:
            assert len(exchange.route([key, *KEYS[50:60]]).queues) == 1


def properties(**values: object) -> BasicProperties:
    """Properties of a message."""
    made = BasicProperties()
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("argument", "make_properties"),
    [
        ({"hash-property": longstr("message_id")}, lambda n: properties(message_id=f"id{n}")),
        ({"hash-property": longstr("correlation_id")}, lambda n: properties(correlation_id=f"id{n}")),
        ({"hash-property": longstr("timestamp")}, lambda n: properties(timestamp=n)),
        ({"hash-header": longstr("h")}, lambda n: properties(headers={"h": long(n)})),
        ({"hash-header": longstr("h")}, lambda n: properties(headers={"h": longstr(str(n))})),
        ({"hash-header": longstr("h")}, lambda n: properties(headers={"h": table({"x": long(n)})})),
    ],
)
def test_other_things_to_hash(argument: Table, make_properties: object) -> None:
    assert callable(make_properties)
    vhost, exchange = make("x-consistent-hash", argument)
    for name in ("a", "b"):
        bind(vhost, exchange, name, "1")
    assert exchange.route(["k"]).varies
    targets = [target(exchange, "same key", make_properties(n)) for n in range(1000)]
    assert_shares(targets, {"a": 1, "b": 1})
    assert targets[:50] == [target(exchange, KEYS[n], make_properties(n)) for n in range(50)]
    assert len({target(exchange, key) for key in KEYS[:50]}) == 1  # nothing to hash: all the same way


def test_the_width_of_a_number_does_not_count() -> None:
    vhost, exchange = make("x-consistent-hash", {"hash-header": longstr("h")})
    for name in ("a", "b", "c", "d"):
        bind(vhost, exchange, name, "1")
    for n in range(100):
        wide, narrow = properties(headers={"h": long(n)}), properties(headers={"h": signedint(n)})
        assert target(exchange, "", wide) == target(exchange, "", narrow)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hash-header": longstr("h"), "hash-property": longstr("message_id")},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-property": longstr("app_id")}, "Unsupported property: app_id"),
    ],
)
def test_wrong_arguments(arguments: Table, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        make("x-consistent-hash", arguments)
    assert (caught.value.kind, caught.value.text) == (UNFIT, text)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("", "The binding key must be an integer: <<>>"),
        (" 1", 'The binding key must be an integer: <<" 1">>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
    ],
)
def test_wrong_weights(key: str, text: str) -> None:
    vhost, exchange = make("x-consistent-hash")
    with pytest.raises(Refusal) as caught:
        bind(vhost, exchange, "q", key)
    assert (caught.value.kind, caught.value.text) == (UNFIT, text)
    assert exchange.route(["k"]).queues == []


def test_modulus_hash() -> None:
    vhost, exchange = make("x-modulus-hash")
    assert exchange.route(["k"]).queues == []
    bindings = [bind(vhost, exchange, name, "any") for name in ("b", "a", "c")]
    before = [target(exchange, key) for key in KEYS]
    assert_shares(before, {"a": 1, "b": 1, "c": 1})
    vhost.unbind(bindings[0])
    assert_shares([target(exchange, key) for key in KEYS], {"a": 1, "c": 1})
    vhost.bind(bindings[0])
    assert [target(exchange, key) for key in KEYS] == before
    assert not exchange.route(["k"]).varies


@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_random(kind: str) -> None:
    vhost, exchange = make(kind)
    assert exchange.route(["k"]).queues == []
    bindings = [bind(vhost, exchange, name, "") for name in ("a", "b", "c")]
    assert_shares([target(exchange, "k") for _ in KEYS], {"a": 1, "b": 1, "c": 1})
    vhost.unbind(bindings[1])
    assert_shares([target(exchange, "k") for _ in KEYS], {"a": 1, "c": 1})
    assert exchange.route(["k"]).varies


def test_random_counts_bindings() -> None:
    vhost, exchange = make("x-random")
    for name, key in (("a", "1"), ("a", "2"), ("b", "1")):
        bind(vhost, exchange, name, key)
    assert_shares([target(exchange, "k") for _ in KEYS], {"a": 2, "b": 1})


def test_what_x_local_random_does_not_take() -> None:
    vhost, exchange = make("x-local-random")
    fanout = vhost.declare_exchange("y", "fanout", False, False, False, {})
    quorum = vhost.declare_queue("quorum", True, False, False, {"x-queue-type": longstr("quorum")}, 1)
    for binding, text in (
        (Binding(exchange, quorum, None, "k", {}), "Non empty binding 'k' key not permitted"),
        (Binding(exchange, None, fanout, "", {}), "Destination not found"),
        (
            Binding(exchange, quorum, None, "", {}),
            "Queue type rabbit_quorum_queue not valid for this exchange type",
        ),
    ):
        with pytest.raises(Refusal) as caught:
            vhost.bind(binding)
        assert (caught.value.kind, caught.value.text) == (UNFIT, text)


def test_numbers_and_texts_differ() -> None:
    from leveret.core.message.hashing import identity

    fields: list[Field] = [long(1), longstr("1"), longstr("n1"), table({}), table({"a": long(1)}), Field(0x74, True)]
    assert len({identity(field) for field in fields}) == len(fields)
