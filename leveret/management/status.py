"""The status of a running broker: counts, alarms and event loop lag."""

from __future__ import annotations

from leveret import __version__
from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError
from leveret.core.turn.lag import MINUTE
from leveret.management.queues import faulty_queues


def show_status(broker: Broker, seconds: int = MINUTE) -> dict[str, object]:
    """Current counts, and the lag of the event loop.

    waiting_bytes: approximate memory used by messages. retries: messages waiting for redelivery. held: messages held
    until the time in a header. loop_longest_ms, loop_stalls: the longest time that the event loop did not serve
    sockets, and how often that exceeded 20 ms, since the start; with _recent, in the last `seconds`. faulty_queues:
    queues with an internal error, and the reason; `leveret queues repair NAME` retries.
    """
    if not 1 <= seconds <= MINUTE:
        raise InvalidError(f"seconds: expected 1 to {MINUTE}")
    lag = broker.lag
    queues = broker.queues()
    longest_us, stalls = lag.recent(seconds)
    return {
        "version": __version__,
        "node": broker.node,
        "uptime_s": (broker.clock.now_ms - broker.started_ms) // 1000,
        "connections": len(broker.connections) - broker.leased,
        "channels": broker.open_channels,
        "virtual_hosts": len(broker.vhosts),
        "exchanges": sum(len(vhost.exchanges) for vhost in broker.vhosts.values()),
        "bindings": sum(vhost.bindings for vhost in broker.vhosts.values()),
        "queues": len(queues),
        "consumers": sum(vhost.consumers for vhost in broker.vhosts.values()),
        "faulty_queues": [f"{queue}: {queue.fault}" for queue in faulty_queues(broker)],
        "waiting_bytes": int(broker.budget.used),
        "retries": sum(len(queue.retries) for queue in queues),
        "held": sum(queue.detours.held() for queue in queues),
        "set_aside": [entry.text for entry in broker.aside.entries()],
        "alarm": broker.alarms.reason(),
        "publishers_held": broker.alarms.blocked(),
        "loop_longest_ms": round(lag.longest_us / 1000, 1),
        "loop_stalls": int(lag.stalls),
        "recent_s": seconds,
        "loop_longest_ms_recent": round(longest_us / 1000, 1),
        "loop_stalls_recent": stalls,
    }
