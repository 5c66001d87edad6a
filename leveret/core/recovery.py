"""Recovery: restore the definitions and messages of the logs.

Nothing in the logs prevents a start. A definition that cannot be used is set aside and reported (see
core/definition/aside.py). If damage to the file lost the definition of a virtual host but not its content, it is
created again; if it lost the definition of a queue but not its messages, they go to a new queue with a generated name.
The content of a virtual host that is being deleted is restored separately, so that its messages are found and deleted.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from leveret.core import definitions
from leveret.core.clearing import Clearing
from leveret.core.definition import form
from leveret.core.definition.aside import Entry, Identity, described, owners
from leveret.core.definition.log import DefinitionLog
from leveret.core.errors.administration import AdministrationError
from leveret.core.errors.bounds import DRIFT_MS, MILLISECONDS
from leveret.core.errors.refusals import Refusal
from leveret.core.leftovers import forget_leftovers
from leveret.core.message.log import Logged, Recovered, Resting, Unreadable
from leveret.core.policy.checks import QUEUE_TYPES
from leveret.core.turn.faults import sentence
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import Table, boolean, long, table

if TYPE_CHECKING:
    from leveret.core.broker import Broker
    from leveret.core.queue.queue import Queue

USER_KINDS: Final = (
    form.USER,
    form.PERMISSION,
    form.TOPIC_PERMISSION,
    form.USER_LIMIT,
)
PARAMETER_KINDS: Final = (form.PARAMETER, form.GLOBAL_PARAMETER)
ORDER: Final = (
    form.CLOCK,
    form.VHOST,
    form.LEAVING,
    form.VHOST_LIMIT,
    *USER_KINDS,
    *form.VHOST_KINDS,
)


def recover_definitions(broker: Broker, log: DefinitionLog) -> None:
    """Restore the definitions; the broker's explanations report those that cannot be used."""
    kept = log.load()
    damaged: list[tuple[str, str]] = []
    for kind, key, what in log.damaged():
        damaged.append((kind, key))
        _set_damaged_aside(broker, Entry(kind, key, b""), what)
    kinds = {kind for kind, _ in damaged} | {kind for kind, _, _ in kept}
    kinds.discard(form.CLOCK)
    if kinds:
        broker.is_new = False
    if form.DEFAULTS in kinds:
        broker.vhosts.clear()
    elif kinds:  # a damaged page must not bring back the well-known default password
        broker.explanations.append("definitions are lost; if no users are left, add one: leveret users add")
    kept = forget_leftovers(broker, kept, damaged)
    for wanted in ORDER:
        for kind, key, value in kept:
            if kind == wanted:
                _use(broker, Entry(kind, key, value))
    for kind, key, value in kept:
        if kind not in ORDER and kind != form.DEFAULTS:
            _use(broker, Entry(kind, key, value))
    for entry in broker.aside.entries():
        broker.explanations.append(entry.text)


def _set_damaged_aside(broker: Broker, entry: Entry, what: str) -> None:
    if entry.kind == form.DEFAULTS:  # a mere marker: write it again
        broker.keep(entry.kind, entry.key, b"")
        return
    with contextlib.suppress(ValueError):
        entry.read()
    entry.why = what
    broker.aside.add(entry)


def recover_messages(broker: Broker) -> int:
    """Restore messages. Returns: how many. Raises: Unreadable when some cannot be read now."""
    count = 0
    left: dict[int, None] = {}  # ids of paged out messages that do not survive a restart, and of deleted queues
    for found in broker.log.recover():
        queue = broker.logged.get(found.queue_id)
        if queue is None and (found.queue_id < 0 or broker.shared is not None):  # another node has deleted it
            left[found.queue_id] = None
            continue
        try:
            if queue is None:
                queue = _queue_for(broker, found.queue_id)
            count += _take(broker, queue, found)
        except Unreadable:  # starting without them would look as if they were lost
            raise
        except Exception as error:  # must not affect other queues; the log still has its messages
            if queue is None:
                broker.faults.own("create a queue for messages whose queue is lost", error)
            else:
                queue.fail("restore messages from the log", error)
    for queue_id in left:
        broker.log.drop(queue_id)
    for queue in list(broker.logged.values()):
        try:
            queue.recovered()
        except Exception as error:
            queue.fail("apply its policies and arguments", error)
    return count


def mend(broker: Broker, kind: str, key: str) -> None:
    """A definition was set: take it off the definitions set aside, and restore those that waited for it only."""
    broker.aside.remove(kind, key)
    names = form.names(key)
    for entry in broker.aside.about((kind, *names)):
        if entry.kind == kind and entry.names == names:  # under a key of an earlier version
            broker.unkeep(kind, entry.key)
            broker.aside.remove(kind, entry.key)
    waiting = broker.aside.waiting_for((kind, *names))
    for entry in waiting:
        broker.aside.remove(entry.kind, entry.key)
        if _use(broker, entry):
            broker.explanations.append(f"{described(entry.kind, entry.names)} was set aside, and is in use again")


def _take(broker: Broker, queue: Logged, found: Recovered | Resting) -> int:
    """Give a queue messages from the log. Returns: how many."""
    count = 1
    if isinstance(found, Resting):
        count = queue.rest(found)
    else:
        queue.restore(found)
    if broker.budget.is_over():
        broker.budget.relieve(broker.lines(), list(broker.holders))
    return count


def reason(error: Exception) -> str:
    """Why a definition cannot be used, as text for operators."""
    if isinstance(error, Refusal):
        return error.text
    if isinstance(error, AdministrationError):
        return " ".join(str(error).split())
    return sentence(error)


def _use(broker: Broker, entry: Entry) -> bool:
    """Restore a definition, or set it aside. Returns: whether it is in use."""
    try:
        entry.read()
        names = entry.names
        entry.needs = missing(broker, entry.kind, names)
        if entry.needs is not None:
            entry.why = f"{described(entry.needs[0], list(entry.needs[1:]))} does not exist"
        else:
            restore(broker, entry.kind, names, entry.value)
            if entry.kind == form.BINDING:
                _rename(broker, entry)
            return True
    except Exception as error:  # damaged bytes may raise anything
        entry.why = reason(error)
    broker.aside.add(entry)
    return False


def _rename(broker: Broker, entry: Entry) -> None:
    """Store a binding under its present key, so that a later deletion finds it."""
    key = form.key(*entry.names)
    if key != entry.key:
        broker.unkeep(entry.kind, entry.key)
        broker.keep(entry.kind, key, entry.value)


def missing(broker: Broker, kind: str, names: list[str]) -> Identity | None:
    """The missing owner of a definition.

    A missing virtual host is created instead, since its content was kept; but not in a cluster, where another node may
    have deleted it.
    """
    for owner in owners(kind, names):
        name = owner[-1]
        if owner[0] == form.VHOST:
            if broker.shared is not None and name not in broker.vhosts and name not in broker.leaving:
                return owner
            _vhost(broker, name)
        elif owner[0] == form.USER:
            if broker.users.get(name) is None:
                return owner
        else:
            vhost = _vhost(broker, owner[1])
            if name not in (vhost.queues if owner[0] == form.QUEUE else vhost.exchanges):
                return owner
    return None


def restore(broker: Broker, kind: str, names: list[str], value: bytes) -> None:
    """Restore a definition. Changes nothing when it raises."""
    if kind == form.DEDUPLICATION:
        _vhost(broker, names[0]).restore_window(names[1], int(names[2]), value)
    elif kind in PARAMETER_KINDS:
        broker.parameters.restore(kind, names, value)
    elif kind == form.CLOCK:
        _restore_clock(broker, form.read_table(value))
    elif kind in USER_KINDS:
        broker.users.restore(kind, names, form.read_table(value))
    elif kind == form.VHOST:
        _restore_vhost(broker, names[0], form.read_table(value))
    elif kind == form.LEAVING:
        broker.leaving[names[0]] = Clearing(VirtualHost(broker, names[0]))
    elif kind == form.VHOST_LIMIT:
        _vhost(broker, names[0]).limits = form.limits(form.read_table(value))
    else:
        _vhost(broker, names[0]).restore(kind, names[1:], form.read_table(value))


def _restore_clock(broker: Broker, value: Table) -> None:
    drift_ms, wall_ms = value["drift_ms"].integer, value["wall_ms"].integer
    if DRIFT_MS.nearest(drift_ms) != drift_ms or MILLISECONDS.nearest(wall_ms) != wall_ms:
        raise ValueError("the time is out of range")
    broker.clock.resume(drift_ms, wall_ms)


def _restore_vhost(broker: Broker, name: str, value: Table) -> None:
    description, tags = value["description"].text, form.texts(value["tags"])
    default_queue_type, protected = value["default_queue_type"].text, value["protected"].value is True
    if default_queue_type and default_queue_type not in QUEUE_TYPES:
        raise ValueError(f"'{default_queue_type}' is not a queue type")
    vhost = broker.vhosts.get(name)
    if vhost is None:
        if name in broker.leaving:
            broker.background.hurry(broker.leaving[name])
        vhost = broker.vhosts[name] = VirtualHost(broker, name)
    vhost.description = description
    vhost.tags = tags
    vhost.default_queue_type = default_queue_type
    vhost.protected = protected


def _vhost(broker: Broker, name: str) -> VirtualHost:
    """The virtual host, or one that is being deleted; created if its definition was lost but not its content."""
    vhost = broker.vhosts.get(name)
    if vhost is None and name in broker.leaving:
        vhost = broker.leaving[name].vhost
    if vhost is None:
        broker.explanations.append(f"the definition of virtual host '{name}' is lost; it is created again")
        vhost = broker.add_vhost(name)
    return vhost


def _queue_for(broker: Broker, queue_id: int) -> Queue:
    """A new queue for messages whose queue is unknown."""
    vhost = broker.vhosts.get("/") or (next(iter(broker.vhosts.values())) if broker.vhosts else _vhost(broker, "/"))
    name = f"salvaged.{queue_id:016x}"
    while name in vhost.queues:
        name += "+"
    broker.explanations.append(
        f"the definition of a queue is lost; its messages are in queue '{name}' in virtual host '{vhost.name}'"
    )
    value = {"id": long(queue_id), "auto_delete": boolean(False), "arguments": table({})}
    vhost.restore(form.QUEUE, [name], value)
    queue = vhost.queues[name]
    broker.remember(form.QUEUE, definitions.queue_key(queue), definitions.queue_value(queue))
    return queue
