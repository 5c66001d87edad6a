"""x-consistent-hash: each message to one binding, the same one for the same value, in proportion to their weights.

The binding key is the weight. The hashed value is the routing key, or the header or property that hash-header or
hash-property names; messages without it all go to the same binding. Of several bindings of one destination, the first
one counts.

This is rendezvous hashing: every binding gets a pseudo-random number for every value, and the highest wins. Removing a
binding moves only its own values; adding one moves only the values that it receives. The result depends on names and
weights alone, not on the order of binding, so it is the same after a restart; a jump hash's buckets would not be.
Source: rabbit_exchange_type_consistent_hash.erl, except for the choice of the binding.
"""

from __future__ import annotations

import math
from typing import Final

from mypy_extensions import i64

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.core.message.hashing import fingerprint, identity, mix
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import LONGSTR, Field, Table
from leveret.wire.properties import BasicProperties

PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")
MAX_WEIGHT: Final = 10_000


def weight_of(key: str) -> int:
    """The weight in a binding key. Raises: Refusal UNFIT for an invalid one."""
    digits = key[1:] if key[:1] in ("+", "-") else key
    if not (digits.isascii() and digits.isdigit()):
        what = f'<<"{key}">>' if key else "<<>>"
        raise Refusal(UNFIT, f"The binding key must be an integer: {what}")
    weight = int(key)
    if weight < 1:
        raise Refusal(UNFIT, "The binding key must be greater than 0")
    if weight > MAX_WEIGHT:
        raise Refusal(UNFIT, f"The binding key must not exceed {MAX_WEIGHT}")
    return weight


class Share:
    """A destination with its bindings; the first binding sets the weight."""

    __slots__ = ("bindings", "seed", "weight")

    def __init__(self, binding: Binding) -> None:
        self.bindings = [binding]
        self.seed: i64 = fingerprint(f"{binding.kind} {binding.destination}".encode("utf-8", "surrogateescape"))
        self.weight = float(weight_of(binding.key))


class ConsistentHashRouter(Router):
    """The destinations with their weights. Cost of a match: one hash for each destination."""

    def __init__(self) -> None:
        super().__init__()
        self._shares: dict[tuple[str, str], Share] = {}
        self._header: str | None = None
        self._property: str | None = None

    def configure(self, arguments: Table, broker: Surroundings) -> None:
        """Read which value to hash. Raises: Refusal UNFIT."""
        self._header = _name(arguments.get("hash-header"))
        self._property = _name(arguments.get("hash-property"))
        self.varies = self._header is not None or self._property is not None
        if self._header is not None and self._property is not None:
            raise Refusal(UNFIT, "hash-header and hash-property are mutually exclusive")
        if self._property is not None and self._property not in PROPERTIES:
            raise Refusal(UNFIT, f"Unsupported property: {self._property}")

    def check(self, binding: Binding) -> None:
        """Refuse a key that is not a weight. Raises: Refusal UNFIT."""
        weight_of(binding.key)

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        where = (binding.kind, binding.destination)
        share = self._shares.get(where)
        if share is None:
            self._shares[where] = Share(binding)
        else:
            share.bindings.append(binding)

    def remove(self, binding: Binding) -> None:
        """Remove a binding; the next one of the same destination counts now."""
        where = (binding.kind, binding.destination)
        share = self._shares[where]
        share.bindings.remove(binding)
        if share.bindings:
            share.weight = float(weight_of(share.bindings[0].key))
        else:
            del self._shares[where]

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The one binding for this message, if there is any."""
        value = fingerprint(self._hashed(key, properties))
        best: Share | None = None
        highest = -math.inf
        for share in self._shares.values():
            # The logarithm makes the chance of the highest number proportional to the weight.
            drawn = math.log((float(mix(value ^ share.seed)) + 0.5) / 4294967296.0) / share.weight
            if drawn > highest:
                highest = drawn
                best = share
        return [best.bindings[0]] if best is not None else []

    def _hashed(self, key: str, properties: BasicProperties) -> bytes:
        text: str | None = key
        if self._header is not None:
            field = properties.headers.get(self._header) if properties.headers is not None else None
            return identity(field) if field is not None else b""
        if self._property == "message_id":
            text = properties.message_id
        elif self._property == "correlation_id":
            text = properties.correlation_id
        elif self._property == "timestamp":
            text = str(properties.timestamp) if properties.timestamp is not None else None
        return b"s" + text.encode("utf-8", "surrogateescape") if text is not None else b""


def _name(field: Field | None) -> str | None:
    if field is None:
        return None
    if field.kind != LONGSTR:
        raise Refusal(UNFIT, f"hash-header and hash-property must be longstr, not {field.type_name}")
    return field.text
