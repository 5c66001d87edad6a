"""Recovery: everything is declared again that the logs kept, and filled again.

Nothing in the logs stops a start. A definition that cannot be used is left out and told. A virtual host of which only
what is in it was kept is made anew; so is a queue of which only its messages were kept, under a name of its own: in
both cases the definition was lost with a damaged part of the file. What is in a virtual host that is leaving comes back
as well, apart from the others, so that its messages are found and go with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core import definitions
from leveret.core.clearing import Clearing
from leveret.core.leftovers import Kept, forget_leftovers
from leveret.core.parameters import GLOBAL_PARAMETER, PARAMETER
from leveret.core.ports import Resting
from leveret.core.vhost import VirtualHost
from leveret.core.window import KIND as DEDUPLICATION
from leveret.wire.fields import Table, boolean, long, table

if TYPE_CHECKING:
    from leveret.core.broker import Broker
    from leveret.core.queue import Queue

USER_KINDS: Final = (
    definitions.USER,
    definitions.PERMISSION,
    definitions.TOPIC_PERMISSION,
    definitions.USER_LIMIT,
)
PARAMETER_KINDS: Final = (PARAMETER, GLOBAL_PARAMETER)
ORDER: Final = (
    definitions.CLOCK,
    definitions.VHOST,
    definitions.LEAVING,
    definitions.VHOST_LIMIT,
    *USER_KINDS,
    *definitions.VHOST_KINDS,
)


def recover_definitions(broker: Broker, kept: Kept) -> None:
    """Declare again what was kept; what cannot be used is told in the broker's explanations."""
    kinds = {kind for kind, _, _ in kept} - {definitions.CLOCK}
    if kinds:
        broker.is_new = False
    if definitions.DEFAULTS in kinds:
        broker.vhosts.clear()
    elif kinds:  # nobody gets in with a password that everybody knows, only because a page is damaged
        broker.explanations.append("definitions are lost; if there are no users any more, make one: leveret users add")
    kept = forget_leftovers(broker, kept)
    for wanted in ORDER:
        for kind, key, value in kept:
            if kind == wanted:
                _use(broker, kind, key, value)
    for kind, key, value in kept:
        if kind not in ORDER and kind != definitions.DEFAULTS:
            _use(broker, kind, key, value)


def recover_messages(broker: Broker) -> int:
    """Fill the queues again. Returns: how many messages came back."""
    count = 0
    transient: dict[int, None] = {}  # ids under which messages rested that no restart brings back
    for found in broker.log.recover():
        queue = broker.queues.get(found.queue_id)
        if queue is None and found.queue_id < 0:
            transient[found.queue_id] = None
            continue
        if queue is None:
            queue = _queue_for(broker, found.queue_id)
        if isinstance(found, Resting):
            count += queue.rest(found)
        else:
            queue.restore(found)
            count += 1
        if broker.budget.is_over():
            broker.budget.relieve(broker.queues.values())
    for queue_id in transient:
        broker.log.drop(queue_id)
    for queue in list(broker.queues.values()):
        queue.apply(queue.settings)  # a policy may have come while the messages were not there
    return count


def _use(broker: Broker, kind: str, key: str, value: bytes) -> None:
    try:
        names = definitions.names(key)
        if kind == DEDUPLICATION:
            vhost, exchange, first = names
            _vhost(broker, vhost).restore_window(exchange, int(first), value)
        elif kind == definitions.CLOCK:
            time = definitions.read_table(value)
            broker.clock.resume(time["drift_ms"].integer, time["wall_ms"].integer)
        elif kind in PARAMETER_KINDS:
            broker.parameters.restore(kind, names, value)
        elif kind == definitions.LEAVING:
            broker.leaving[names[0]] = Clearing(VirtualHost(broker, names[0]))
        elif kind in ORDER:
            _restore(broker, kind, names, definitions.read_table(value))
    except Exception as error:  # whatever damaged bytes lead to
        why = f"{type(error).__name__}: {error}"
        broker.explanations.append(f"the definition of {kind} {key} cannot be used and is left out: {why}")


def _restore(broker: Broker, kind: str, names: list[str], value: Table) -> None:
    if kind in USER_KINDS:
        if kind == definitions.PERMISSION:
            _vhost(broker, names[1])
        broker.users.restore(kind, names, value)
        return
    name = names.pop(0)
    if kind == definitions.VHOST:
        vhost = VirtualHost(broker, name)
        vhost.description = value["description"].text
        vhost.tags = definitions.texts(value["tags"])
        vhost.default_queue_type = value["default_queue_type"].text
        vhost.protected = value["protected"].value is True
        broker.vhosts[name] = vhost
    elif kind == definitions.VHOST_LIMIT:
        _vhost(broker, name).limits = definitions.integers(value)
    else:
        _vhost(broker, name).restore(kind, names, value)


def _vhost(broker: Broker, name: str) -> VirtualHost:
    """The virtual host, or one that is leaving; it is made if only what is in it was kept."""
    vhost = broker.vhosts.get(name)
    if vhost is None and name in broker.leaving:
        vhost = broker.leaving[name].vhost
    if vhost is None:
        broker.explanations.append(f"the definition of virtual host '{name}' is lost; it is made anew")
        vhost = broker.add_vhost(name)
    return vhost


def _queue_for(broker: Broker, queue_id: int) -> Queue:
    """A new queue for messages whose queue is not known any more."""
    vhost = broker.vhosts.get("/") or (next(iter(broker.vhosts.values())) if broker.vhosts else _vhost(broker, "/"))
    name = f"salvaged.{queue_id:016x}"
    broker.explanations.append(
        f"the definition of a queue is lost; its messages are in queue '{name}' in virtual host '{vhost.name}'"
    )
    value = {"id": long(queue_id), "auto_delete": boolean(False), "arguments": table({})}
    vhost.restore(definitions.QUEUE, [name], value)
    queue = broker.queues[queue_id]
    broker.remember(definitions.QUEUE, definitions.queue_key(queue), definitions.queue_value(queue))
    return queue
