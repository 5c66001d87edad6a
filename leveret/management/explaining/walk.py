"""Walk: follow the bindings of exchanges as Exchange.route() does, recording each step.

The router of each exchange decides which bindings match. For random exchanges, all choices are followed. The number of
recorded steps is limited; counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange_types.deduplication import Deduplication
from leveret.core.exchange_types.delayed import Delay, delay_of
from leveret.core.exchange_types.history import History
from leveret.core.message.destination import Destination
from leveret.core.vhost import VirtualHost
from leveret.management.arguments import to_json
from leveret.management.explaining.queues import name_of
from leveret.management.explaining.reasons import RANDOM, type_of, why
from leveret.management.explaining.shapes import AlternateStep, BindingStep, ExchangeStep, Interception, QueueStep
from leveret.wire.properties import BasicProperties

MOST_EXCHANGES: Final = 200  # shown
MOST_MATCHES: Final = 500  # bindings shown
MOST_QUEUES: Final = 200  # inspected and shown
MOST_ARGUMENTS: Final = 1_000  # bytes, for one binding
AGAIN: Final = "again"
PIECE: Final = 50  # bindings per step


class Room:
    """The remaining space in one answer. is_enough: nothing was left out."""

    def __init__(self) -> None:
        self.is_enough = True
        self._left: dict[type[msgspec.Struct], int] = {
            ExchangeStep: MOST_EXCHANGES,
            BindingStep: MOST_MATCHES,
            QueueStep: MOST_QUEUES,
        }

    def take(self, kind: type[msgspec.Struct]) -> bool:
        """Whether one more step of this kind can be shown."""
        self._left[kind] -= 1
        self.is_enough &= self._left[kind] >= 0
        return self._left[kind] >= 0


class Walk:
    """One path. exchanges: steps, in order. found: queues, and whether they get the message only at random.

    nothing_at: exchanges without a matching binding.
    """

    def __init__(self, vhost: VirtualHost, keys: list[str], properties: BasicProperties, room: Room) -> None:
        keys = list(dict.fromkeys(keys))
        self.exchanges: list[ExchangeStep] = []
        self.found: dict[Destination, bool] = {}
        self.nothing_at: list[Exchange] = []
        self._vhost = vhost
        self._keys = keys
        self._properties = properties
        self._seen: dict[Exchange, bool] = {}  # whether the message reaches it only at random
        self._pending: list[tuple[Exchange, str, int | None]] = []  # exchange, how it is reached, and from where
        self._room = room
        self._is_again = False  # the current exchange was visited before, but only now its queues are certain

    def go(self, exchange: Exchange, came_by: str) -> Iterator[None]:
        """Follow the path from an exchange, in steps."""
        self._seen[exchange] = False
        self._pending.append((exchange, came_by, None))
        at = 0
        while at < len(self._pending):
            exchange, came_by, came_from = self._pending[at]
            at += 1
            self._is_again = came_by == AGAIN
            step = self._step(exchange, came_by, came_from)
            place: int | None = None
            if not self._is_again and self._room.take(ExchangeStep):
                place = len(self.exchanges)
                self.exchanges.append(step)
            yield from self._visit(exchange, step, place)
            yield

    def _step(self, exchange: Exchange, came_by: str, came_from: int | None) -> ExchangeStep:
        every_key = not exchange.name or exchange.router.every_key
        return ExchangeStep(
            exchange.name,
            exchange.kind,
            "",
            came_by,
            came_from,
            durable=exchange.durable,
            internal=exchange.internal,
            policy=name_of(exchange.policy),
            operator_policy=name_of(exchange.operator_policy),
            keys=self._keys if every_key else self._keys[:1],
            bindings=len(exchange.bindings) if exchange.name else len(self._vhost.queues),
        )

    def _visit(self, exchange: Exchange, step: ExchangeStep, place: int | None) -> Iterator[None]:
        """Record where an exchange sends the message."""
        kept = self._intercept(exchange, step)
        is_dropped = kept is not None
        if is_dropped:
            pass
        elif not exchange.name:
            self._look_up(exchange, step)
        else:
            yield from self._follow(exchange, step, place)
        if not kept:
            self._try_alternate(exchange, step, place)
        step.text = self._sentence(exchange, step, is_dropped)
        if not step.matched and not is_dropped and not self._is_again:
            self.nothing_at.append(exchange)

    def _look_up(self, exchange: Exchange, step: ExchangeStep) -> None:
        """Route through the default exchange: each key is the name of a queue."""
        for key in step.keys:
            queue = self._vhost.find_queue(key)
            if queue is None:
                continue
            step.matched += 1
            self._reach(queue, self._seen[exchange])
            if self._may_show():
                reason = "the routing key is its name" if key == self._keys[0] else "it is named in CC or BCC"
                step.matches.append(BindingStep(queue.name, "queue", key, reason))

    def _follow(self, exchange: Exchange, step: ExchangeStep, place: int | None) -> Iterator[None]:
        by_chance = type_of(exchange) in RANDOM
        properties = self._properties
        taken: dict[Binding, None] = {}
        for key in step.keys:
            matches = exchange.bindings if by_chance else exchange.router.match(key, properties)
            is_open = by_chance and len({(each.kind, each.destination) for each in matches}) > 1
            for number, binding in enumerate(list(matches), 1):
                if len(step.keys) == 1 or binding not in taken:
                    self._take(exchange, binding, step, place, is_open)
                if len(step.keys) > 1:
                    taken[binding] = None
                if number % PIECE == 0:
                    yield

    def _take(self, exchange: Exchange, binding: Binding, step: ExchangeStep, place: int | None, is_open: bool) -> None:
        """Record a matching binding. is_open: it is one of several choices at random."""
        step.matched += 1
        is_by_chance = is_open or self._seen[exchange]
        was_visited = False
        if binding.queue is not None:
            self._reach(binding.queue, is_by_chance)
        elif binding.exchange is not None:
            was_visited = self._come_to(binding.exchange, "binding", place, is_by_chance)
        if self._may_show():
            step.matches.append(
                BindingStep(
                    binding.destination,
                    binding.kind,
                    binding.key,
                    why(exchange, binding, step.keys, self._properties),
                    to_json(binding.arguments) if len(binding.encoded) <= MOST_ARGUMENTS else {},
                    is_open,
                    was_visited,
                )
            )

    def _may_show(self) -> bool:
        return not self._is_again and self._room.take(BindingStep)

    def _reach(self, queue: Destination, is_by_chance: bool) -> None:
        self.found[queue] = self.found.get(queue, True) and is_by_chance

    def _come_to(self, exchange: Exchange, came_by: str, place: int | None, is_by_chance: bool) -> bool:
        """The message reaches another exchange. Returns: whether it was already visited."""
        if exchange in self._seen:
            if self._seen[exchange] and not is_by_chance:
                self._seen[exchange] = False
                self._pending.append((exchange, AGAIN, None))
            return True
        self._seen[exchange] = is_by_chance
        self._pending.append((exchange, came_by, place))
        return False

    def _intercept(self, exchange: Exchange, step: ExchangeStep) -> list[Destination] | None:
        """Apply interceptors. Returns: destinations that replace the bindings, or None."""
        headers = self._properties.headers or {}
        found = step.interceptions = []
        for interceptor in exchange.interceptors:
            if isinstance(interceptor, Deduplication):
                kept = interceptor.foresee(self._properties)
                if kept is not None:
                    text = "it already had a message with the same value: this one is dropped and confirmed"
                    found.append(Interception("deduplication", text, is_duplicate=True))
                    return kept
                found.append(Interception("deduplication", "it had no message with the same value"))
            elif isinstance(interceptor, Delay):
                delay_ms = delay_of(headers.get("x-delay"))
                if delay_ms:
                    text = f"it holds the message for {delay_ms} ms, and then routes it by its bindings at that time"
                    found.append(Interception("delay", text, delay_ms))
            elif isinstance(interceptor, History):
                found.append(Interception("history", "it stores the message for queues bound later"))
        return None

    def _try_alternate(self, exchange: Exchange, step: ExchangeStep, place: int | None) -> None:
        if exchange.alternate is None:
            return
        alternate = self._vhost.exchanges.get(exchange.alternate)
        if "alternate-exchange" in exchange.arguments:
            who = "argument alternate-exchange"
        else:
            policies = (("operator policy", exchange.operator_policy), ("policy", exchange.policy))
            said = [
                f"{kind} '{policy.name}'"
                for kind, policy in policies
                if policy is not None and policy.definition.get("alternate-exchange") == exchange.alternate
            ]
            who = said[0] if said else ""
        is_taken = not step.matched and alternate is not None
        if is_taken and alternate is not None:
            self._come_to(alternate, "alternate", place, self._seen[exchange])
        step.alternate = AlternateStep(exchange.alternate, who, alternate is not None, is_taken)

    def _sentence(self, exchange: Exchange, step: ExchangeStep, is_dropped: bool) -> str:
        """What happens at an exchange, as a sentence."""
        if is_dropped:
            text = "the message is a duplicate"
        elif not exchange.name:
            text = f"there is {'a' if step.matched else 'no'} queue '{self._keys[0]}'" if len(step.keys) == 1 else ""
            text = text or f"{step.matched} of {len(step.keys)} keys are names of queues"
        elif not step.bindings:
            text = "nothing is bound to it"
        else:
            one = step.bindings == 1
            text = f"{step.matched} of its {step.bindings} bindings match{'es' if step.matched == 1 else ''}"
            if one:
                text = f"its only binding {'matches' if step.matched else 'does not match'}"
            elif not step.matched:
                text = f"none of its {step.bindings} bindings matches"
            elif type_of(exchange) in RANDOM:
                text = f"one of its {step.bindings} bindings is chosen at random"
        alternate = step.alternate
        if alternate is None or step.matched:
            return text
        if not alternate.is_there:
            return f"{text}; its alternate exchange '{alternate.exchange}' does not exist"
        return f"{text}: the message goes to the alternate exchange '{alternate.exchange}'"
