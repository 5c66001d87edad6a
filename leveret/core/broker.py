"""Broker: the virtual hosts, and the bookkeeping of one call into the core.

A call (bytes from a client, an event of the log, a tick) changes queues. Queues that may have something to deliver go
on `dirty`; settle() pumps them once, before the call returns. Dead letters wait on `worklist`; settle() publishes a
share of them. Other long work is on `background`; each work() does one piece. While either has work left, the driver
must call again. Connections with bytes to send are on `awake`; once a turn the driver takes that list and flushes
each.
"""

from __future__ import annotations

import base64
import random
from collections import deque
from typing import Final

from leveret.core.access import user as access
from leveret.core.access.user import Credential, User
from leveret.core.access.users import Premises, Users
from leveret.core.clearing import Clearing
from leveret.core.counting.counters import VirtualHostCounters
from leveret.core.counting.intake import Intake
from leveret.core.definition import form
from leveret.core.definition.log import DefinitionLog
from leveret.core.definition.sharing import Sharing
from leveret.core.errors.administration import InvalidError, ProtectedError, unknown_vhost
from leveret.core.message.budget import Pageable
from leveret.core.message.log import LogListener, MessageLog
from leveret.core.message.shortage import Shortage
from leveret.core.parameters import Parameters
from leveret.core.policy.checks import QUEUE_TYPES
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.client import Observer
from leveret.core.queue.dead_letter import MANY
from leveret.core.queue.entry import Home
from leveret.core.queue.queue import Queue
from leveret.core.queue.surroundings import Surroundings
from leveret.core.recovery import mend, recover_definitions, recover_messages
from leveret.core.turn.alarms import BEHIND, HELD, LETTERS, Alarms
from leveret.core.turn.clock import Clock
from leveret.core.turn.lag import Lag
from leveret.core.turn.turn import Sink
from leveret.core.turn.work import LETTER, TIMER
from leveret.core.vhost import VirtualHost
from leveret.wire.constants import MAX_MESSAGE_SIZE

DRAWS: Final = 4096  # for an id that this node owns; it owns at least one of 256, unless it owns nothing


class Broker(Surroundings, Premises):
    """One broker.

    seed: for tests; the same seed gives the same names, ids and choices. With None, names cannot be guessed.
    news: the listener for events of the logs. durable_revision: changes of definitions up to here are durable.
    nowhere: the virtual host of clients that are in none.
    is_new: recover() found nothing, so there are no users yet.
    max_connections: open at once, 0 for no limit; open_connections: how many are open.
    leased: how many of `connections` are consumers without a connection (core/client/leased.py).
    max_channels, open_channels: the same for channels. max_consumers_per_channel: 0 for no limit.
    consumer_timeout_ms: default time that a delivery may stay unacknowledged; 0 for no limit.
    max_message_size: of a message body, in bytes.
    started_ms: on the core's clock. lag: of the event loop, measured by the driver.
    leaving: by name, deleted virtual hosts that are not empty yet. past: counters of virtual hosts that are gone.
    shared: the definitions that the nodes of a cluster share; None without a cluster.
    """

    def __init__(
        self, log: MessageLog, definition_log: DefinitionLog, clock: Clock, seed: int | None, node: str
    ) -> None:
        super().__init__(log, clock)
        self.node = node
        self.started_ms = clock.now_ms
        self.lag = Lag()
        self.intake = Intake()
        self.past = VirtualHostCounters()
        self.alarms = Alarms()
        self._shortage = Shortage(self, self.budget, self.alarms)
        self.nowhere = VirtualHost(self, "")
        self.vhosts: dict[str, VirtualHost] = {"/": VirtualHost(self, "/")}
        self.leaving: dict[str, Clearing] = {}
        self._unclean: set[str] = set()  # deleted virtual hosts with remains until the next start
        self.users = Users(self, self.matcher)
        self.parameters = Parameters(self)
        self.is_new = True
        self.consumer_timeout_ms = 1_800_000
        self.max_message_size = MAX_MESSAGE_SIZE
        self.max_connections = 0
        self.open_connections = 0
        self.leased = 0
        self.max_channels = 0
        self.max_consumers_per_channel = 0
        self.open_channels = 0
        self.durable_revision = 0
        self.revision = 0
        self._definition_log = definition_log
        self.shared: Sharing | None = None
        self._random = random.Random(seed)  # predictable from earlier output
        self._names: random.Random = random.SystemRandom() if seed is None else self._random
        self._connection_number = 0
        self.news = News(self)
        self._suspended: list[Queue] = []

    def share_definitions(self) -> Sharing:
        """Share the definitions with other nodes from now on. Before recover()."""
        shared = self.shared = Sharing(self._definition_log, self.replay)
        self._definition_log = shared
        return shared

    def recover(self) -> int:
        """Restore definitions and messages from the logs. Returns: how many messages."""
        recover_definitions(self, self._definition_log)
        count = recover_messages(self)
        self._go_on_clearing()
        return count

    def recover_definitions(self) -> None:
        """Restore definitions only, without messages: enough to change definitions."""
        recover_definitions(self, self._definition_log)
        self._go_on_clearing()

    def _go_on_clearing(self) -> None:
        for clearing in list(self.leaving.values()):
            self.background.begin(clearing)

    def make_defaults(self, user: str, credential: Credential) -> None:
        """Set up a new broker: the virtual host /, and an administrator with all permissions there."""
        self.is_new = False
        self.add_vhost("/", "Default virtual host")
        self.users.put(user, credential, ("administrator",))
        self.users.set_permission(user, "/", ".*", ".*", ".*")
        self.remember(form.DEFAULTS, form.key(), b"")

    def settle(self) -> None:
        """Pump every dirty queue, and those that become dirty meanwhile; publish a bounded number of dead letters."""
        self._pump()
        if self.budget.is_over() or self.alarms.raised & HELD:
            self.relieve()
        if self.worklist.is_busy():
            self._send_letters()
            limit = MANY // 2 if self.alarms.raised & LETTERS else MANY
            self.alarms.set(LETTERS, len(self.worklist) > limit)
        while not self.faults.is_settled():
            self.faults.settle()
            self._pump()

    def relieve(self) -> None:
        """Page messages out; block publishers while memory stays over the limit."""
        budget = self.budget
        if budget.is_over():
            budget.relieve(self.lines(), [*self.connections.values(), *self.holders])
        limit_is_kept = budget.used <= budget.limit
        if self.alarms.raised & HELD:
            if limit_is_kept:
                self.alarms.set(HELD, False)
                self._shortage.end()
        elif budget.is_exhausted():
            self.alarms.set(HELD, True)
            self._shortage.begin()

    def suspend(self) -> None:
        """Deliver nothing from durable queues, and let basic.get wait: another node may own them by now."""
        if not self.is_suspended:
            self.is_suspended = True
            self._suspended = [queue for queue in self.queues() if queue.durable]
            for queue in self._suspended:
                queue.pause()

    def unsuspend(self) -> None:
        """This node still owns its queues: continue."""
        if self.is_suspended:
            self.is_suspended = False
            suspended, self._suspended = self._suspended, []
            for queue in suspended:
                queue.resume()
                queue.on_fetched()

    def renewed(self, queue: BaseQueue) -> None:
        """A lost queue has been renewed: it waits with the others if nothing may be delivered now."""
        if self.is_suspended and isinstance(queue, Queue):
            self._suspended.append(queue)
            queue.pause()

    def queues(self) -> list[Queue]:
        """All queues of all virtual hosts, including those being deleted. Cost: a copy."""
        vhosts = [*self.vhosts.values(), *[clearing.vhost for clearing in self.leaving.values()]]
        return [queue for vhost in vhosts for queue in vhost.queues.values()]

    def lines(self) -> list[Pageable]:
        """All queues, which can page messages out to the log."""
        return [each for each in self.logged.values() if isinstance(each, BaseQueue)]

    def is_short(self) -> bool:
        """Whether too much is in memory, or too much waits to be written."""
        return self.alarms.raised & (BEHIND | HELD) != 0 or self.budget.is_exhausted()

    def flow(self) -> None:
        """Pump dirty queues, so that a client's next method sees the effects of the methods before it.

        Not called for publishes and acks: many of them share one pump; see Queue.flow(). So a publish may overtake a
        dead letter that an earlier publish caused.
        """
        if self.dirty or self.sharing:
            self._pump()
        if len(self.worklist) and len(self.worklist) * LETTER <= self.share.left:  # more are sent in pieces
            self._send_letters()

    def _send_letters(self) -> None:
        """Send dead letters, and those that result, until this turn's share is used up."""
        share = self.share
        worklist = self.worklist
        while share.left > 0 and worklist.is_busy():
            worklist.work_off()
            self._pump()

    def _pump(self) -> None:
        while self.dirty or self.sharing:
            queues = self.dirty
            self.dirty = []
            for queue in queues:
                queue.pump()
            if self.sharing and not self.dirty:
                self._share_windows()
        if self.unsaved:
            journals, self.unsaved = self.unsaved, []
            for journal in journals:
                try:
                    journal.save()
                except Exception as error:
                    journal.fail("save its deduplication window", error)

    def _share_windows(self) -> None:
        """Give the remaining capacity of shared prefetch windows to the next consumers."""
        sharing, self.sharing = self.sharing, []
        for shared in sharing:
            try:
                if shared.share_more():
                    self.sharing.append(shared)
            except Exception as error:
                self.faults.own("share a prefetch window", error)

    def tick(self, now_ms: int) -> int | None:
        """Set the time to now_ms and do what is due. Returns: when to call again; None if nothing is scheduled."""
        self.clock.now_ms = now_ms
        self.share.begin()
        self._run_timers()
        self.work()
        return now_ms if self.is_busy() else self.timers.next_ms()

    def _run_timers(self) -> None:
        """Run due timers until this turn's share is used up; the rest stays due."""
        share = self.share
        while share.left > 0 and self.timers.run_next(self.clock.now_ms):
            share.left -= TIMER

    def is_busy(self) -> bool:
        """Whether work is left that no client has to trigger."""
        return self.worklist.is_busy() or len(self.background) > 0 or self.budget.is_over()

    def work(self) -> None:
        """Do a piece of long work, which would block all clients if done at once."""
        self.share.begin()
        if len(self.background):
            self.background.work()
            self.share.begin()
        self.settle()

    def finish(self) -> None:
        """Finish all background jobs: no client waits, or the broker ends."""
        while len(self.background):
            self.work()

    def look_at_clock(self, today_ms: int) -> None:
        """Compare the system clock with the core's. Deadlines do not follow a leap; it is stored for the next start."""
        before_ms = self.clock.drift_ms
        if self.clock.look(today_ms):
            leap_s = (self.clock.drift_ms - before_ms) / 1000
            self.explanations.append(f"the system clock has leapt by {leap_s:+.1f} s; deadlines are unchanged")
            self.keep_time()
            for dated in list(self.dated):
                try:
                    dated.leapt()
                except Exception as error:
                    dated.fail("adjust to the time of day", error)

    def keep_time(self) -> None:
        """Store the current time for the next start."""
        self.keep(form.CLOCK, form.key(), form.clock_value(self.clock))

    def give_way(self, other: Broker) -> None:
        """Replace references to this broker, which is empty and no longer used, by those of another.

        Otherwise it would stay in memory until the garbage collector looks for cycles.
        """
        self.timers = other.timers
        self.news = other.news
        self.holders = {}
        self.worklist = other.worklist
        self.matcher = other.matcher
        self.nowhere.exchanges.clear()
        self.nowhere = other.nowhere
        self.users = other.users
        self.parameters = other.parameters
        self._shortage = other._shortage

    # -- virtual hosts

    def let_watch(self, observer: Observer | None) -> None:
        """Show all messages of all virtual hosts to this observer from now on; None to stop."""
        self.observer = observer
        for vhost in self.vhosts.values():
            vhost.watch(vhost.tracing, observer)

    def vhost(self, name: str) -> VirtualHost:
        """The virtual host. Raises: UnknownError."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise unknown_vhost(name)
        return vhost

    def add_vhost(
        self,
        name: str,
        description: str | None = None,
        tags: tuple[str, ...] | None = None,
        default_queue_type: str | None = None,
    ) -> VirtualHost:
        """Create a virtual host, or change its properties; None keeps the present value.

        Raises: InvalidError for an unknown queue type, or if a deleted virtual host of this name has remains, here or
        on another node.
        """
        if default_queue_type and default_queue_type not in QUEUE_TYPES:
            raise InvalidError(f"{default_queue_type} is not a valid queue type")
        vhost = self.vhosts.get(name)
        if vhost is None:
            if name in self._unclean:
                text = f"the deletion of virtual host '{name}' is incomplete; restart the broker first"
                raise InvalidError(text)
            self._check_remains(name)
            vhost = VirtualHost(self, name)
        description = vhost.description if description is None else description
        tags = vhost.tags if tags is None else tags
        default_queue_type = vhost.default_queue_type if default_queue_type is None else default_queue_type
        value = form.vhost_value(description, tags, default_queue_type, vhost.protected)
        if name in self.leaving:
            self.background.hurry(self.leaving[name])  # the new one may reuse its names
        vhost.description = description
        vhost.tags = tags
        vhost.default_queue_type = default_queue_type
        self.vhosts[name] = vhost
        self.remember(form.VHOST, form.key(name), value)
        return vhost

    def _check_remains(self, name: str) -> None:
        """Raises: InvalidError when another node is still deleting the content of a virtual host of this name."""
        if self.shared is None or not self.shared.has(form.LEAVING, form.key(name)):
            return
        clearing = self.leaving.get(name)
        if clearing is None or clearing.is_replayed:
            text = f"another node is still deleting the content of virtual host '{name}'; try again in a moment"
            raise InvalidError(text)

    def protect_vhost(self, name: str, protected: bool) -> None:
        """Protect a virtual host from deletion, or end the protection. Raises: UnknownError."""
        vhost = self.vhost(name)
        value = form.vhost_value(vhost.description, vhost.tags, vhost.default_queue_type, protected)
        vhost.protected = protected
        self.remember(form.VHOST, form.key(name), value)

    def set_vhost_limits(self, name: str, limits: dict[str, int]) -> None:
        """Set limits of a virtual host; other limits stay. Raises: UnknownError, InvalidError."""
        vhost = self.vhost(name)
        merged = {**vhost.limits, **access.checked_limits(limits, access.VHOST_LIMITS)}
        value = form.limits_value(merged)
        vhost.limits = merged
        self.remember(form.VHOST_LIMIT, form.key(name), value)

    def clear_vhost_limits(self, name: str, limit: str | None) -> None:
        """Remove a limit of a virtual host, or all limits for None. Raises: UnknownError."""
        vhost = self.vhost(name)
        left = {each: value for each, value in vhost.limits.items() if limit not in (None, each)}
        kept = form.limits_value(left)
        vhost.limits = left
        if left:
            self.remember(form.VHOST_LIMIT, form.key(name), kept)
        else:
            self.forget(form.VHOST_LIMIT, form.key(name))

    def delete_vhost(self, name: str) -> Clearing:
        """Delete a virtual host with everything in it; close its connections.

        Returns: the remaining work, which runs in the background. Raises: UnknownError, ProtectedError.
        """
        if name not in self.vhosts and self.drop_aside(form.VHOST, name):
            return Clearing(VirtualHost(self, name), True)
        vhost = self.vhost(name)
        if vhost.protected:
            raise ProtectedError(f"Refusing to delete virtual host '{name}' because it is protected from deletion")
        return self.drop_vhost(vhost)

    def drop_vhost(self, vhost: VirtualHost) -> Clearing:
        """Delete a virtual host, even a protected one. Returns: as delete_vhost()."""
        name = vhost.name
        self.close_connections(None, vhost, f"vhost '{name}' is deleted")
        self.users.forget_vhost(name)
        self.parameters.drop(name)
        self.clear_vhost_limits(name, None)
        vhost.forget_policies()
        self.drop_aside(form.VHOST, name)
        self.refused.forget(name, None)
        del self.vhosts[name]
        self.forget(form.VHOST, form.key(name))
        self.remember(form.LEAVING, form.key(name), b"")
        clearing = self.leaving[name] = Clearing(vhost, False, self.replay.is_on)
        self.background.begin(clearing)
        return clearing

    def cleared(self, vhost: Home) -> None:
        """Note that a deleted virtual host is empty, or that the rest of it cannot be deleted in this run."""
        left = self.leaving.pop(vhost.name).vhost
        self.past.add(left.past)
        left.past = self.past  # for clients that are still closing
        if left.queues or left.exchanges:
            self._unclean.add(vhost.name)
        else:
            self.forget(form.LEAVING, form.key(vhost.name))
            self.drop_aside(form.VHOST, vhost.name)

    def vhosts_with(self, kind: str, name: str) -> list[str]:
        """Names of the virtual hosts that have a queue or exchange of this name. kind: queue or exchange."""
        found = self.vhosts.values()
        if kind == "queue":
            return [vhost.name for vhost in found if name in vhost.queues]
        return [vhost.name for vhost in found if name in vhost.exchanges]

    # -- users

    def has_vhost(self, name: str) -> bool:
        """Whether a virtual host of this name exists."""
        return name in self.vhosts

    def permissions_changed(self, vhost: str) -> None:
        """Permissions in a virtual host have changed: invalidate its cached routes."""
        self.vhosts[vhost].generation += 1

    def forget_permissions(self, vhost: str, exchange: str) -> None:
        """An exchange is deleted: remove its topic permissions, so that a new one of its name has none."""
        self.users.forget_exchange(vhost, exchange)

    def forget_user(self, user: User, reason: str) -> None:
        """A user is deleted: close its connections, and forget what it was refused."""
        self.close_connections(user, None, reason)
        self.refused.forget(None, user.name)

    def close_connections(self, user: User | None, vhost: VirtualHost | None, reason: str) -> int:
        """Close the connections of a user, to a virtual host, or both; None matches any. Returns: how many."""
        found = [client for client in self.connections.values() if client.belongs_to(user, vhost)]
        for client in found:
            try:
                client.force_close(reason)
            except Exception as error:
                client.fail("close a connection", error)
        return len(found)

    # -- definitions

    def remember(self, kind: str, key: str, value: bytes, is_new: bool = False) -> None:
        """Store a definition; replies of this call wait until it is durable. is_new: as in DefinitionLog.put()."""
        self.revision = self._definition_log.put(kind, key, value, is_new)
        if len(self.aside):
            mend(self, kind, key)

    def forget(self, kind: str, key: str) -> None:
        """Delete a definition; replies of this call wait until that is durable."""
        self.revision = self._definition_log.delete(kind, key)
        self.aside.remove(kind, key)

    def has_aside(self, kind: str, *names: str) -> bool:
        """Whether a definition, or one that belongs to it, is set aside. names: omit the last ones to match any."""
        return len(self.aside) > 0 and len(self.aside.about((kind, *names))) > 0

    def drop_aside(self, kind: str, *names: str) -> bool:
        """Delete the definitions that has_aside() would find. Returns: whether there were any."""
        if not len(self.aside):
            return False
        found = self.aside.about((kind, *names))
        for entry in found:
            self.forget(entry.kind, entry.key)
        return len(found) > 0

    def keep(self, kind: str, key: str, value: bytes) -> int:
        """Store a value without making replies wait. Returns: the revision with which it becomes durable."""
        return self._definition_log.put(kind, key, value)

    def unkeep(self, kind: str, key: str) -> None:
        """Delete a value that keep() stored."""
        self._definition_log.delete(kind, key)

    def gather_definitions(self, gathers: bool) -> None:
        """Start (True) or end (False) a group of definition changes, which is written to disk as one change."""
        self._definition_log.gather(gathers)

    def hold(self, sink: Sink, revision: int) -> None:
        """Notify the sink when this revision is durable."""
        self.news.hold(sink, revision)

    # -- names

    def new_id(self) -> int:
        """An id for a queue, unique among all nodes; this node owns it, if it owns any."""
        ownership = self.ownership
        queue_id = self._names.getrandbits(62)
        for _ in range(DRAWS):
            if ownership.owns(queue_id):
                break
            queue_id = self._names.getrandbits(62)
        return queue_id

    def random_name(self) -> str:
        """22 characters, as in RabbitMQ's generated names. Not guessable: who knows a reply name may send to it."""
        return base64.urlsafe_b64encode(self._names.randbytes(16)).decode()[:22]

    def chance(self, count: int) -> int:
        """A random number from 0 to count - 1."""
        return int(self._random.random() * count)

    def connection_number(self) -> int:
        """A unique number for a new connection, above 0."""
        self._connection_number += 1
        return self._connection_number


class News(LogListener):
    """Passes events of the logs on to a broker's queues, journals and replies."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[tuple[int, Sink]] = deque()  # replies held until a revision is durable, ascending

    def hold(self, sink: Sink, revision: int) -> None:
        """Notify the sink when this revision is durable."""
        self._waiting.append((revision, sink))

    def on_durable(self, queue_id: int, position: int) -> None:
        """Send the confirms that waited for this position."""
        queue = self._broker.logged.get(abs(queue_id))
        if queue is None:
            return
        try:
            if queue_id < 0:
                queue.on_resting(position)
            else:
                queue.on_durable(position)
        except Exception as error:
            queue.fail("confirm durable messages", error)

    def on_refused(self, queue_id: int, positions: list[int], reason: str, again: bool) -> None:
        """Negatively acknowledge the publishes that waited for these positions."""
        if queue_id > 0:
            for journal in self._broker.journals:
                try:
                    journal.lose()
                except Exception as error:
                    self._broker.faults.own("reset a deduplication window", error)
        queue = self._broker.logged.get(abs(queue_id))
        if queue is not None:
            try:
                queue.on_refused(positions, again)
            except Exception as error:
                queue.fail("refuse messages that could not be written", error)
                raise  # the queue must process this before on_durable()

    def on_fetched(self, queue_id: int) -> None:
        """Resume a queue that waited for its log, or its renewal."""
        renewal = self._broker.renewals.get(queue_id)
        if renewal is not None:
            renewal.on_fetched()
            return
        queue = self._broker.logged.get(abs(queue_id))
        if queue is not None:
            try:
                queue.on_fetched()
            except Exception as error:
                queue.fail("continue with messages read from its log", error)

    def on_lost(self, queue_id: int, reason: str) -> None:
        """Stop a queue that no longer belongs to this broker."""
        queue = self._broker.logged.get(abs(queue_id))
        if queue is not None:
            try:
                queue.on_lost(reason)
            except Exception as error:
                queue.fail("stop", error)

    def on_definitions_durable(self, revision: int) -> None:
        """Release the replies that waited for this revision."""
        self._broker.durable_revision = revision
        if self._broker.shared is not None:
            self._broker.shared.durable(revision)
        for journal in self._broker.journals:
            try:
                journal.on_durable(revision)
            except Exception as error:
                journal.fail("note what is durable", error)
        while self._waiting and self._waiting[0][0] <= revision:
            sink = self._waiting.popleft()[1]
            try:
                sink.on_definitions_durable(revision)
            except Exception as error:
                sink.fail("send replies that waited for the disk", error)

    def on_conflict(self, kind: str, key: str, value: bytes, revision: int) -> None:
        """Take what another node has created. Who declared it here is told with on_definitions_durable()."""
        if self._broker.shared is not None:
            self._broker.shared.conflict(kind, key, value, revision)

    def on_behind(self, is_behind: bool) -> None:
        """Block publishers while too much waits to be written."""
        self._broker.alarms.set(BEHIND, is_behind)

    def fail(self, doing: str, error: Exception) -> None:
        """The log failed to report an event."""
        self._broker.faults.own(doing, error)
