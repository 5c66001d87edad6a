"""Direct, fanout and headers exchanges, bindings between exchanges, alternate exchanges, auto-delete."""

from __future__ import annotations

import itertools

import pytest

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import VOID, Field, Table, boolean, long, longstr, signedint
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import make_broker


def make(kind: str, arguments: Table | None = None) -> tuple[VirtualHost, Exchange]:
    """An exchange in a virtual host of its own."""
    vhost = make_broker().vhosts["/"]
    return vhost, vhost.declare_exchange("x", kind, False, False, False, arguments or {})


def bind(vhost: VirtualHost, exchange: Exchange, name: str, key: str = "", arguments: Table | None = None) -> Binding:
    """Bind a queue, which is made if need be."""
    queue = vhost.declare_queue(name, False, False, False, {}, 1)
    binding = Binding(exchange, queue, None, key, arguments or {})
    vhost.bind(binding)
    return binding


def names(exchange: Exchange, key: str = "", headers: Table | None = None) -> list[str]:
    """The queues that a message reaches."""
    properties = BasicProperties()
    properties.headers = headers
    return [queue.name for queue in exchange.route([key], properties).queues]


def test_direct() -> None:
    vhost, exchange = make("direct")
    bind(vhost, exchange, "a", "k")
    second = bind(vhost, exchange, "b", "k")
    bind(vhost, exchange, "c", "other")
    assert names(exchange, "k") == ["a", "b"]
    vhost.unbind(second)
    assert names(exchange, "k") == ["a"]
    assert names(exchange, "K") == []


def test_fanout_reaches_a_queue_once() -> None:
    vhost, exchange = make("fanout")
    bind(vhost, exchange, "a", "k")
    bind(vhost, exchange, "a", "l")
    bind(vhost, exchange, "b")
    assert names(exchange, "whatever") == ["a", "b"]


def test_the_default_exchange_knows_every_queue() -> None:
    vhost, _ = make("direct")
    vhost.declare_queue("q", False, False, False, {}, 1)
    assert names(vhost.exchange(""), "q") == ["q"]
    assert names(vhost.exchange(""), "none") == []


@pytest.mark.parametrize(
    ("mode", "wanted", "headers", "expected"),
    [
        (None, {"a": long(1)}, {"a": signedint(1), "z": long(2)}, True),
        ("all", {"a": long(1), "b": longstr("x")}, {"a": long(1)}, False),
        ("any", {"a": long(1), "b": longstr("x")}, {"b": longstr("x")}, True),
        ("any", {"a": long(1)}, {"a": long(2)}, False),
        ("all", {}, {}, True),
        ("any", {}, {"a": long(1)}, False),
        ("all", {"a": Field(VOID, None)}, {"a": boolean(False)}, True),
        ("all", {"a": Field(VOID, None)}, {}, False),
        ("all", {"x-a": long(1)}, {}, True),
        ("all-with-x", {"x-a": long(1)}, {}, False),
        ("any-with-x", {"x-a": long(1)}, {"x-a": long(1)}, True),
        ("all", {"a": longstr("1")}, {"a": long(1)}, False),
    ],
)
def test_headers(mode: str | None, wanted: Table, headers: Table, expected: bool) -> None:
    vhost, exchange = make("headers")
    arguments = dict(wanted) if mode is None else {**wanted, "x-match": longstr(mode)}
    bind(vhost, exchange, "q", "", arguments)
    assert names(exchange, "", headers) == (["q"] if expected else [])
    assert exchange.route([""]).varies


@pytest.mark.parametrize("mode", [longstr("some"), long(1)])
def test_headers_with_a_wrong_mode(mode: Field) -> None:
    vhost, exchange = make("headers")
    with pytest.raises(Refusal) as caught:
        bind(vhost, exchange, "q", "", {"x-match": mode})
    assert caught.value.kind == UNFIT


def test_exchanges_bound_in_a_circle() -> None:
    vhost, first = make("fanout")
    second = vhost.declare_exchange("y", "fanout", False, False, False, {})
    vhost.bind(Binding(first, None, second, "", {}))
    vhost.bind(Binding(second, None, first, "", {}))
    bind(vhost, first, "a")
    bind(vhost, second, "a")
    bind(vhost, second, "b")
    assert sorted(names(first)) == sorted(names(second)) == ["a", "b"]


def test_alternate_exchange_gets_what_found_no_binding() -> None:
    vhost, exchange = make("direct", {"alternate-exchange": longstr("rest")})
    assert names(exchange, "k") == []
    rest = vhost.declare_exchange("rest", "fanout", False, False, False, {})
    bind(vhost, exchange, "a", "k")
    bind(vhost, rest, "b")
    assert names(exchange, "k") == ["a"]
    assert names(exchange, "l") == ["b"]


def test_auto_delete_exchange_goes_with_its_last_binding() -> None:
    vhost, _ = make("direct")
    exchange = vhost.declare_exchange("short", "direct", False, True, False, {})
    first, second = bind(vhost, exchange, "a", "k"), bind(vhost, exchange, "b", "k")
    vhost.unbind(first)
    assert "short" in vhost.exchanges
    generation = vhost.generation
    vhost.unbind(second)
    assert "short" not in vhost.exchanges
    assert vhost.generation > generation


def test_a_long_chain_of_auto_delete_exchanges_ends_with_its_queue() -> None:
    vhost = make_broker().vhosts["/"]
    chain = [vhost.declare_exchange(f"x{number}", "fanout", False, True, False, {}) for number in range(5000)]
    for source, target in itertools.pairwise(chain):
        vhost.bind(Binding(source, None, target, "", {}))
    bind(vhost, chain[-1], "q")
    assert names(chain[0]) == ["q"]
    before = len(vhost.exchanges)
    vhost.delete_queue("q", False, False, 1)
    assert len(vhost.exchanges) == before - len(chain)


def test_auto_delete_exchanges_bound_in_a_ring() -> None:
    vhost = make_broker().vhosts["/"]
    ring = [vhost.declare_exchange(f"x{number}", "fanout", False, True, False, {}) for number in range(3)]
    for source, target in zip(ring, [*ring[1:], ring[0]], strict=True):
        vhost.bind(Binding(source, None, target, "", {}))
    before = len(vhost.exchanges)
    vhost.delete_exchange("x1", False)
    assert len(vhost.exchanges) == before - 3
