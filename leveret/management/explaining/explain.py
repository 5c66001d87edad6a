"""Explain the route of a message, from the publish to the last dead letter, without changing any state or counter.

explain() runs in steps and yields between them, so that clients can be served. If the topology changes meanwhile, it
starts again; the last attempt continues anyway.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Final

from leveret.core.broker import Broker
from leveret.core.client.tracing import PROPERTIES
from leveret.core.exchange.exchange import Exchange
from leveret.core.vhost import VirtualHost
from leveret.management.explaining import admission, near
from leveret.management.explaining.queues import DUPLICATE, REFUSES, step_of
from leveret.management.explaining.shapes import Explanation, Path, Question, QueueStep
from leveret.management.explaining.walk import Room, Walk
from leveret.wire.properties import BasicProperties

ATTEMPTS: Final = 3  # if the topology changes meanwhile
MOST_NAMES: Final = 1_000  # of queues listed
MOST_PATHS: Final = 30  # followed

ROUTED: Final = "routed"
UNROUTABLE: Final = "unroutable"
REFUSED: Final = "refused"


class Changed(Exception):
    """The topology changed during an attempt."""


def explain(
    broker: Broker, vhost: VirtualHost, question: Question, others: list[VirtualHost]
) -> Generator[None, None, Explanation]:
    """Explain the route of a message in a virtual host. others: virtual hosts to search for a missing name."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return (yield from _Explaining(broker, vhost, question, others, attempt == ATTEMPTS).run())
        except Changed:
            continue
    raise AssertionError


class _Explaining:
    """One attempt. is_last: continue despite changes."""

    def __init__(
        self, broker: Broker, vhost: VirtualHost, question: Question, others: list[VirtualHost], is_last: bool
    ) -> None:
        self._broker = broker
        self._vhost = vhost
        self._question = question
        self._others = others
        self._is_last = is_last
        self._generation = vhost.generation
        self._is_exact = True
        self._is_followed = True  # every path was followed to its end
        self._room = Room()
        self._paths: list[Path] = []
        self._known: dict[tuple[str, tuple[str, ...]], int] = {}  # indexes of paths, by exchange and keys
        self._hints = near.Hints()
        self._said: list[str] = []  # hints that are not guesses
        self._names: list[str] = []

    def _look(self) -> Iterator[None]:
        """Let clients be served, then check whether the topology changed. Raises: Changed."""
        yield
        if self._vhost.generation != self._generation:
            if not self._is_last:
                raise Changed
            self._is_exact = False

    def _through(self, steps: Iterator[None]) -> Iterator[None]:
        for _ in steps:
            yield from self._look()

    def run(self) -> Generator[None, None, Explanation]:
        """Build the explanation. Raises: Changed."""
        question, vhost = self._question, self._vhost
        exchange = vhost.exchanges.get(question.exchange)
        keys = admission.keys_of(question)
        checks = admission.checks(vhost, question, exchange, self._broker.max_message_size)
        properties = _sent(question.properties)
        count, certain = 0, 0
        if exchange is None:
            yield from self._through(self._find_exchange(question.exchange))
        else:
            walk = Walk(vhost, keys, properties, self._room)
            yield from self._follow(walk, exchange, keys, properties)
            count = len(walk.found)
            certain = sum(not is_by_chance for is_by_chance in walk.found.values())
            self._names = [queue.name for queue in islice(walk.found, MOST_NAMES)]
            if not count:
                yield from self._through(self._guess(walk, keys, properties))
            yield from self._follow_letters(properties)
            self._mark_circles()
        reason = self._broker.alarms.reason()
        if reason:
            self._said.append(f"publishers are blocked: the broker is {reason}")
        wrong = next((check.text for check in checks if not check.is_passed), "")
        outcome = REFUSED if wrong else ROUTED if count else UNROUTABLE
        return Explanation(
            outcome,
            self._conclusion(wrong, count, certain),
            [*self._said, *self._hints.texts],
            checks,
            self._names,
            count,
            self._paths,
            self._is_followed and self._room.is_enough,
            self._is_exact,
        )

    def _follow(self, walk: Walk, exchange: Exchange, keys: list[str], properties: BasicProperties) -> Iterator[None]:
        """Follow one path and inspect the queues at its end."""
        yield from self._through(walk.go(exchange, "dead_letter" if self._paths else "publish"))
        path = Path(exchange.name, keys, walk.exchanges, [], len(walk.found))
        self._known[exchange.name, tuple(keys)] = len(self._paths)
        self._paths.append(path)
        for queue, is_by_chance in walk.found.items():
            if not self._room.take(QueueStep):
                break
            path.queues.append(step_of(queue, keys, properties, self._question.size, is_by_chance))
            yield from self._look()

    def _follow_letters(self, properties: BasicProperties) -> Iterator[None]:
        """Follow the paths of dead letters, and of their dead letters, each once."""
        letters = _sent(properties, is_letter=True)
        at = 0
        while at < len(self._paths):
            for step in self._paths[at].queues:
                letter = step.dead_letters
                if letter is None:
                    continue
                exchange = self._vhost.exchanges.get(letter.exchange)
                letter.is_there = exchange is not None
                known = self._known.get((letter.exchange, tuple(letter.routing_keys)))
                if known is None and exchange is not None:
                    if len(self._paths) >= MOST_PATHS:
                        self._is_followed = False
                        continue
                    known = len(self._paths)
                    walk = Walk(self._vhost, letter.routing_keys, letters, self._room)
                    yield from self._follow(walk, exchange, letter.routing_keys, letters)
                letter.path = known
            at += 1

    def _mark_circles(self) -> None:
        """Mark dead letters that return to their original queue."""
        leads = [
            {step.dead_letters.path for step in path.queues if step.dead_letters is not None} - {None}
            for path in self._paths
        ]
        names = [{step.name for step in path.queues} for path in self._paths]
        for path in self._paths:
            for step in path.queues:
                if step.dead_letters is not None and step.dead_letters.path is not None:
                    seen = {step.dead_letters.path}
                    pending = [step.dead_letters.path]
                    while pending:
                        for following in leads[pending.pop()]:
                            if following is not None and following not in seen:
                                seen.add(following)
                                pending.append(following)
                    step.dead_letters.comes_back = any(step.name in names[at] for at in seen)

    # -- hints

    def _find_exchange(self, name: str) -> Iterator[None]:
        places = [vhost.name for vhost in self._others if vhost is not self._vhost and name in vhost.exchanges]
        if places:
            shown = ", ".join(f"'{place}'" for place in places[: near.MOST])
            self._said.append(f"there is an exchange with this name in virtual host {shown}")
        yield from near.names("exchange", name, list(self._vhost.exchanges), self._hints)

    def _guess(self, walk: Walk, keys: list[str], properties: BasicProperties) -> Iterator[None]:
        """Search for similar names and bindings."""
        for exchange in walk.nothing_at:
            if not exchange.name:
                places = [each.name for each in self._others if each is not self._vhost and keys[0] in each.queues]
                if places:
                    shown = ", ".join(f"'{place}'" for place in places[: near.MOST])
                    self._said.append(f"there is a queue '{keys[0]}' in virtual host {shown}")
                yield from near.names("queue", keys[0], list(self._vhost.queues), self._hints)
            else:
                yield from near.look(exchange, keys, properties, self._hints)

    # -- conclusion

    def _conclusion(self, wrong: str, count: int, certain: int) -> str:
        if wrong:
            would = f"; otherwise {self._routes(count, certain)}" if count else ""
            return f"the publish is refused: {wrong}{would}"
        if count:
            text = self._routes(count, certain)
            held = [each for step in self._paths[0].exchanges for each in step.interceptions if each.delay_ms]
            if held:
                text += f", {max(each.delay_ms for each in held)} ms later" if len(held) == 1 else ", later"
            not_taken = [step for step in self._paths[0].queues if step.outcome in (REFUSES, DUPLICATE)]
            if not_taken:
                names = ", ".join(f"'{step.name}'" for step in not_taken[: near.MOST])
                text += f", but {'it does' if len(not_taken) == count else 'not all'} not take it: {names}"
            return text
        first = self._paths[0].exchanges[0]
        if any(each.is_duplicate for step in self._paths[0].exchanges for each in step.interceptions):
            return "no queue gets it: it is a duplicate, which is dropped and confirmed"
        if not first.name:
            reason = f"there is no queue '{self._question.key}'"
        elif not first.matched:
            reason = f"exchange '{first.name}' has no binding for the routing key '{self._question.key}'"
            if not first.bindings:
                reason = f"nothing is bound to exchange '{first.name}'"
        else:
            reason = f"no binding of exchange '{first.name}' leads to a queue"
        return f"no queue gets it: {reason}. With mandatory it is returned, otherwise it is dropped"

    def _routes(self, count: int, certain: int) -> str:
        if certain == count:
            return "1 queue gets it" if count == 1 else f"{count} queues get it"
        by_chance = count - certain
        if not certain:
            return f"it is random which of {by_chance} queues get it"
        get = "queue gets" if certain == 1 else "queues get"
        return f"{certain} {get} it, and possibly some of {by_chance} more, at random"


def _sent(properties: BasicProperties, is_letter: bool = False) -> BasicProperties:
    """Properties as stored in queues: without BCC, and without an expiration for dead letters."""
    found = BasicProperties()
    for name in PROPERTIES:
        attribute = "message_type" if name == "type" else name
        setattr(found, attribute, getattr(properties, attribute))
    if properties.headers is not None:
        found.headers = {name: field for name, field in properties.headers.items() if name != "BCC"}
    if is_letter:
        found.expiration = None
    return found
