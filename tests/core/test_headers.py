"""The index of a headers exchange finds what looking at every binding would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.headers import Pattern
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog
from leveret.wire.fields import ARRAY, FLOAT64, VOID, Field, Table, boolean, long, longstr, table
from leveret.wire.properties import BasicProperties
from tests.core.test_exchanges import bind, make, names

NAMES = st.sampled_from(["a", "b", "x-c"])
SCALARS = st.one_of(
    st.integers(0, 2).map(long),
    st.sampled_from(["", "1"]).map(longstr),
    st.booleans().map(boolean),
    st.just(Field(VOID, None)),
    st.just(Field(FLOAT64, 1.0)),
)
FIELDS = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2).map(lambda items: Field(ARRAY, items)),
    st.dictionaries(NAMES, SCALARS, max_size=1).map(table),
)
HEADERS = st.dictionaries(NAMES, FIELDS, max_size=3)
MODES = st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"])


def wants(mode: str | None, wanted: Table) -> Table:
    """Arguments of a binding."""
    return wanted if mode is None else {"x-match": longstr(mode), **wanted}


BINDINGS = st.lists(st.builds(wants, MODES, HEADERS), max_size=8)


@given(BINDINGS, st.lists(HEADERS, max_size=3), st.data())
def test_it_finds_what_looking_at_every_binding_would_find(
    arguments: list[Table], messages: list[Table], data: st.DataObject
) -> None:
    vhost, exchange = make("headers")
    bindings = [bind(vhost, exchange, str(number), str(number), each) for number, each in enumerate(arguments)]
    while True:
        patterns = [Pattern(binding) for binding in bindings]
        for headers in messages:
            expected = [each.binding.queue for each in patterns if each.matches(headers)]
            assert sorted(names(exchange, "", headers)) == sorted(queue.name for queue in expected if queue is not None)
        if not bindings:
            break
        vhost.unbind(bindings.pop(data.draw(st.integers(0, len(bindings) - 1))))


class Counted(str):
    """A text that counts how often texts of its kind are hashed."""

    hashed = 0

    def __hash__(self) -> int:
        type(self).hashed += 1
        return super().__hash__()


@pytest.mark.parametrize("mode", ["any", "all"])
def test_a_binding_with_many_arguments_costs_what_it_has_and_not_the_square(mode: str) -> None:
    many = 500
    log = MemoryLog()
    vhost = Broker(log, log, Clock(), seed=1, node="test").vhosts["/"]
    queue = vhost.make_queue("q", False, 0, False, {})
    exchange = vhost.exchange("amq.headers")
    arguments: Table = {Counted(f"h{number}"): long(number) for number in range(many)}
    properties = BasicProperties()
    properties.headers = dict(arguments)
    Counted.hashed = 0
    vhost.bind(Binding(exchange, queue, None, "", {**arguments, "x-match": longstr(mode)}))
    assert exchange.route([""], properties).queues == [queue]
    vhost.unbind(Binding(exchange, queue, None, "", {**arguments, "x-match": longstr(mode)}))
    assert exchange.route([""], properties).queues == []
    assert Counted.hashed < 40 * many
