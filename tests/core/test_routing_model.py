"""Routing against a naive evaluator: exchanges of all static types with bindings, circles and alternates that change.

The model keeps plain lists and walks them from the definition of each type; the broker has its indexes, and the
session its cache of routes, which a missed change of generation would make wrong: messages go through a channel.
"""

from __future__ import annotations

import re

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leveret.wire.fields import Field, Table, array, long, longstr
from leveret.wire.methods import (
    BasicPublish,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer

EXCHANGES = ("e1", "e2", "e3", "e4")
QUEUES = ("q1", "q2", "q3")
KINDS = ("direct", "fanout", "topic", "headers")
HEADERS = ("h1", "h2")
Match = tuple[str, tuple[tuple[str, int], ...]]  # x-match, and the headers that are wanted
Bound = tuple[str, str, str, Match]  # kind and name of the destination, key, match

EXCHANGE = st.sampled_from(EXCHANGES)
RARELY = st.sampled_from((False, False, False, True))
KEY = st.sampled_from(("", "a", "b", "a.b", "a.b.c", "b.a"))
PATTERN = st.one_of(KEY, st.sampled_from(("#", "*", "a.*", "a.#", "#.b", "*.b.#")))
MATCH = st.tuples(
    st.sampled_from(("all", "any")),
    st.lists(st.tuples(st.sampled_from(HEADERS), st.integers(0, 1)), max_size=2, unique_by=lambda pair: pair[0]).map(
        tuple
    ),
)
TARGET = st.one_of(st.tuples(st.just("queue"), st.sampled_from(QUEUES)), st.tuples(st.just("exchange"), EXCHANGE))


def topic_matches(pattern: str, key: str) -> bool:
    """By a regular expression over words that each end with a dot."""
    words = ["[^.]*\\." if word == "*" else re.escape(word) + "\\." for word in pattern.split(".") if word != "#"]
    parts = iter(words)
    expression = "".join("([^.]*\\.)*" if word == "#" else next(parts) for word in pattern.split("."))
    if not pattern:
        return not key
    return re.fullmatch(expression, key + "." if key else "") is not None


class Model:
    """One exchange."""

    def __init__(self, kind: str, alternate: str | None, auto_delete: bool) -> None:
        self.kind = kind
        self.alternate = alternate
        self.auto_delete = auto_delete
        self.bindings: list[Bound] = []

    def matches(self, bound: Bound, keys: list[str], headers: dict[str, int]) -> bool:
        """Whether a message goes along a binding."""
        _, _, wanted, (mode, pairs) = bound
        if self.kind == "fanout":
            return True
        if self.kind == "direct":
            return wanted in keys
        if self.kind == "topic":
            return any(topic_matches(wanted, key) for key in keys)
        fits = [headers.get(name) == value for name, value in pairs]
        return all(fits) if mode == "all" else any(fits)


class RoutingModel(RuleBasedStateMachine):
    """A few exchanges and queues under changing names of the same few."""

    @initialize(
        made=st.tuples(*[st.tuples(st.sampled_from(KINDS), st.one_of(EXCHANGE, st.none()), RARELY) for _ in EXCHANGES]),
        bound=st.lists(st.tuples(EXCHANGE, TARGET, PATTERN, MATCH), min_size=3, max_size=10),
    )
    def start(
        self,
        made: tuple[tuple[str, str | None, bool], ...],
        bound: list[tuple[str, tuple[str, str], str, Match]],
    ) -> None:
        """A broker with all exchanges and queues, and some bindings."""
        self.peer = Peer()
        self.exchanges: dict[str, Model] = {}
        self.queues = set(QUEUES)
        for name in QUEUES:
            self.peer.call(QueueDeclare(name), QueueDeclareOk)
        for name, (kind, alternate, auto_delete) in zip(EXCHANGES, made, strict=True):
            self.declare(name, kind, alternate, auto_delete)
        for source, where, key, match in bound:
            self.bind(source, where, key, match)

    # -- topology

    @rule(name=EXCHANGE, kind=st.sampled_from(KINDS), alternate=st.one_of(EXCHANGE, st.none()), auto_delete=RARELY)
    def declare(self, name: str, kind: str, alternate: str | None, auto_delete: bool) -> None:
        """A new exchange."""
        if name in self.exchanges:
            return
        arguments: Table = {"alternate-exchange": longstr(alternate)} if alternate is not None else {}
        self.peer.call(ExchangeDeclare(name, kind, auto_delete=auto_delete, arguments=arguments), ExchangeDeclareOk)
        self.exchanges[name] = Model(kind, alternate, auto_delete)

    @rule(name=EXCHANGE)
    def delete(self, name: str) -> None:
        """An exchange ends, and what leads there."""
        self.peer.call(ExchangeDelete(name), ExchangeDeleteOk)
        if name in self.exchanges:
            self.end(name)

    def end(self, name: str) -> None:
        """What the end of an exchange takes with it."""
        del self.exchanges[name]
        self.lose(("exchange", name))

    def lose(self, target: tuple[str, str]) -> None:
        """A destination is gone: its bindings are, and auto-delete exchanges that have no other."""
        for source in list(self.exchanges):
            model = self.exchanges.get(source)
            if model is not None and any(bound[:2] == target for bound in model.bindings):
                model.bindings = [bound for bound in model.bindings if bound[:2] != target]
                if model.auto_delete and not model.bindings:
                    self.end(source)

    @rule(name=st.sampled_from(QUEUES))
    def delete_queue(self, name: str) -> None:
        """A queue ends, or is there again."""
        if name in self.queues:
            self.peer.call(QueueDelete(name), QueueDeleteOk)
            self.queues.discard(name)
            self.lose(("queue", name))
        else:
            self.peer.call(QueueDeclare(name), QueueDeclareOk)
            self.queues.add(name)

    def exists(self, target: tuple[str, str]) -> bool:
        """Whether a destination is there."""
        return target[1] in (self.queues if target[0] == "queue" else self.exchanges)

    @rule(source=EXCHANGE, where=TARGET, key=PATTERN, match=MATCH)
    def bind(self, source: str, where: tuple[str, str], key: str, match: Match) -> None:
        """A binding."""
        if source not in self.exchanges or not self.exists(where):
            return
        if where[0] == "queue":
            self.peer.call(QueueBind(where[1], source, key or "", arguments=arguments(match)), QueueBindOk)
        else:
            self.peer.call(ExchangeBind(where[1], source, key, arguments=arguments(match)), ExchangeBindOk)
        bound = (*where, key, (match[0], tuple(sorted(match[1]))))
        if bound not in self.exchanges[source].bindings:
            self.exchanges[source].bindings.append(bound)

    @rule(source=EXCHANGE, at=st.integers(0, 5))
    def unbind(self, source: str, at: int) -> None:
        """A binding goes, and perhaps its source with it."""
        model = self.exchanges.get(source)
        if model is None or not model.bindings:
            return
        kind, name, key, match = bound = model.bindings[at % len(model.bindings)]
        if kind == "queue":
            self.peer.call(QueueUnbind(name, source, key, arguments(match)), QueueUnbindOk)
        else:
            self.peer.call(ExchangeUnbind(name, source, key, arguments=arguments(match)), ExchangeUnbindOk)
        model.bindings.remove(bound)
        if model.auto_delete and not model.bindings:
            self.end(source)

    # -- messages

    @rule(
        name=EXCHANGE,
        keys=st.lists(KEY, min_size=1, max_size=3),
        headers=st.dictionaries(st.sampled_from(HEADERS), st.integers(0, 1)),
        again=st.integers(1, 2),
    )
    def publish(self, name: str, keys: list[str], headers: dict[str, int], again: int) -> None:
        """A message, and perhaps another one like it, to every queue that the definition says, and to no other."""
        if name not in self.exchanges:
            return
        properties = BasicProperties()
        properties.headers = {header: long(value) for header, value in headers.items()}
        if len(keys) > 1:
            properties.headers["CC"] = array([longstr(key) for key in keys[1:]])
        for _ in range(again):
            self.peer.send(BasicPublish(name, keys[0]), b"m", properties)
            self.check(self.reached(name, keys, headers))

    def check(self, expected: set[str]) -> None:
        """Exactly these queues have got the message, and got it once."""
        queues = self.peer.broker.vhosts["/"].queues
        assert {name: queues[name].purge() for name in self.queues} == {
            name: int(name in expected) for name in self.queues
        }

    def reached(self, name: str, keys: list[str], headers: dict[str, int]) -> set[str]:
        """The queues that a message reaches, by the definition."""
        found: set[str] = set()
        seen: set[str] = set()
        pending = [name]
        while pending:
            current = pending.pop()
            model = self.exchanges.get(current)
            if model is None or current in seen:
                continue
            seen.add(current)
            taken = [bound for bound in model.bindings if model.matches(bound, keys, headers)]
            found.update(bound[1] for bound in taken if bound[0] == "queue")
            pending += [bound[1] for bound in taken if bound[0] == "exchange"]
            if not taken and model.alternate is not None:
                pending.append(model.alternate)
        return found

    @invariant()
    def every_route_is_right(self) -> None:
        """What is auto-delete is gone, and nothing else; and whatever just changed, no old route is used."""
        if not hasattr(self, "peer"):
            return
        existing = self.peer.broker.vhosts["/"].exchanges
        assert {name for name in existing if name in EXCHANGES} == set(self.exchanges)
        for name in self.exchanges:
            for key in ("a", "a.b"):
                self.peer.send(BasicPublish(name, key), b"m")
                self.check(self.reached(name, [key], {}))


def arguments(match: Match) -> Table:
    """A binding's arguments."""
    made: dict[str, Field] = {"x-match": longstr(match[0])}
    made.update({name: long(value) for name, value in sorted(match[1])})
    return made


RoutingModel.TestCase.settings = settings(stateful_step_count=20)
TestRouting = RoutingModel.TestCase
