"""x-federation-upstream: the exchange type that a federated RabbitMQ declares on the broker it gets messages from.

RabbitMQ, the downstream, declares an exchange of this type on the other broker, the upstream. The exchange routes like
fanout, but drops a message that has reached the maximum number of hops, or that has already been at the downstream. The
header x-received-from of a message has a table for each broker that has forwarded it.
Source: rabbit_federation_upstream_exchange.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.fanout import FanoutRouter
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import ARRAY, INT64, LONGSTR, TABLE, Field, Table
from leveret.wire.properties import BasicProperties

MAX_HOPS: Final = "x-max-hops"
DOWNSTREAM_NAME: Final = "x-downstream-name"
DOWNSTREAM_VHOST: Final = "x-downstream-vhost"
RECEIVED_FROM: Final = "x-received-from"


class FederationUpstreamRouter(FanoutRouter):
    """Matches all bindings if a message may be forwarded to the downstream, otherwise none."""

    def __init__(self) -> None:
        super().__init__()
        self.varies = True
        self.compared = (MAX_HOPS,)
        self._max_hops = 0
        self._cluster: str | None = None  # name of the downstream's cluster
        self._vhost: str | None = None  # of the downstream

    def configure(self, arguments: Table, broker: Surroundings) -> None:
        """Read the downstream and the maximum number of hops. Raises: Refusal UNFIT."""
        hops = arguments.get(MAX_HOPS)
        if hops is None:
            raise Refusal(UNFIT, f"Argument {MAX_HOPS} missing")
        if hops.kind != INT64:
            raise Refusal(UNFIT, f"Argument {MAX_HOPS} must be of type long")
        self._max_hops = hops.integer
        self._cluster = _text(arguments.get(DOWNSTREAM_NAME))
        self._vhost = _text(arguments.get(DOWNSTREAM_VHOST))

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """All bindings, or none."""
        hops = properties.headers.get(RECEIVED_FROM) if properties.headers is not None else None
        if hops is not None and hops.kind == ARRAY and not self._may_forward(hops.value):
            return []
        return super().match(key, properties)

    def _may_forward(self, hops: object) -> bool:
        assert isinstance(hops, list)
        return len(hops) < self._max_hops and not any(self._is_downstream(each) for each in hops)

    def _is_downstream(self, broker: Field) -> bool:
        if broker.kind != TABLE or self._cluster is None or self._vhost is None:
            return False
        table = broker.value
        assert isinstance(table, dict)
        return _text(table.get("cluster-name")) == self._cluster and _text(table.get("vhost")) == self._vhost


def _text(field: Field | None) -> str | None:
    return field.text if field is not None and field.kind == LONGSTR else None
