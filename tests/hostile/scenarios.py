"""Directed attacks: each does what one kind of mistake in a broker would not stand.

A scenario is a function of a Ring that raises AssertionError, or tells a finding, when the broker does not do what it
should; what canaries and logs show is judged afterwards. One that yields goes on after a clean restart of the broker.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import resource
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.clients.codec import METHOD, PROTOCOL_HEADER, Properties, frame
from tests.clients.link import EndOfStream
from tests.clients.method import Method
from tests.clients.methods import (
    ChannelOpen,
    ConnectionClose,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    ConnectionTuneOk,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    TxCommit,
    TxCommitOk,
    TxSelect,
)
from tests.clients.methods_basic import (
    BasicAck,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReject,
)
from tests.clients.peer import Channel, Peer, start_ok
from tests.clients.waiting import eventually
from tests.hostile import disks, edges
from tests.hostile.attackers import PATIENCE_S, Tell, handshake
from tests.hostile.process import Process
from tests.hostile.verbs import VHOST

MB: Final = 1 << 20
BUDGET: Final = 16 * MB
BEYOND_BUDGET: Final = 60 * MB
"""Bytes that a broker may need beside its memory budget and what it needs when it is empty."""


@dataclass
class Ring:
    """What a scenario has. process: the broker under attack. work: a directory of its own. tell: takes findings."""

    process: Process
    work: Path
    chance: random.Random
    tell: Tell
    is_short: bool

    @contextlib.contextmanager
    def fresh(self, name: str, *options: str) -> Iterator[Process]:
        """Another broker, on an empty data directory."""
        process = Process(self.work / name, self.work, self.tell, *options)
        process.start()
        try:
            yield process
            if process.is_up:
                process.stop()
        finally:
            process.close()


Function = Callable[[Ring], Iterator[None] | None]


@dataclass(frozen=True)
class Scenario:
    """A directed attack. restarts: whether it goes on after a clean restart."""

    name: str
    function: Function
    restarts: bool


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(function: Function) -> Function:
    """A directed attack, by the name of its function."""
    name = function.__name__.replace("_", "-")
    SCENARIOS[name] = Scenario(name, function, inspect.isgeneratorfunction(function))
    return function


def durable(channel: Channel, name: str, **arguments: Any) -> str:
    """A durable queue."""
    return channel.queue(name, exclusive=False, durable=True, **arguments)


def persistent(key: str, body: bytes, exchange: str = "", **properties: Any) -> BasicPublish:
    """A publish."""
    said = Properties(delivery_mode=2, **properties)
    return BasicPublish(exchange=exchange, routing_key=key, properties=said, body=body)


def fate(channel: Channel) -> type[Method]:
    """Wait for a confirm. Returns: its kind."""
    answer = channel.next(PATIENCE_S)
    assert isinstance(answer, BasicAck | BasicNack), answer
    return type(answer)


# -- who is let in, and what belongs to one client alone


@scenario
def isolation(ring: Ring) -> None:
    """Clients that agree on something unusual, and go away in the middle, are nobody else's concern."""
    address = ring.process.address
    for heartbeat in (0, 1, 65535):
        for frame_max in (4096, 4097, 131_072, 0):
            for channel_max in (0, 1, 2047):
                peer = Peer(address)
                peer.start(start_ok(capabilities={}))
                peer.expect(ConnectionTune)
                tune = ConnectionTuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat)
                peer.send(tune, ConnectionOpen(virtual_host="/"))
                with contextlib.suppress(EndOfStream, AssertionError):
                    peer.expect(ConnectionOpenOk)
                    channel = peer.channel()
                    queue = channel.queue()
                    channel.consume(queue, no_ack=True)
                    channel.publish(queue, b"x" * 5000)
                    assert channel.expect(BasicDeliver).body == b"x" * 5000
                peer.link.close()
    for count in (8, 40, 90, 150):  # the whole handshake, cut off
        with socket.create_connection(address, PATIENCE_S) as link:
            link.sendall(handshake("/")[:count])


@scenario
def places(ring: Ring) -> None:
    """Clients that do not log in fill only the places that there are for them."""
    most = 20
    with ring.fresh("places", "--max-unauthenticated-connections", str(most)) as process:
        links = []
        for _ in range(3 * most):
            link = socket.create_connection(process.address, PATIENCE_S)
            link.sendall(PROTOCOL_HEADER)
            links.append(link)
        time.sleep(1.5)  # after which a newcomer from the same address gets the place of another
        left = process.files()
        process.channel().queue()
        alive = sum(not _is_closed(link) for link in links)
        assert alive <= most, f"{alive} clients that have not logged in are connected, of {most}; {left} files are open"
        for link in links:
            link.close()


def _is_closed(link: socket.socket) -> bool:
    link.settimeout(0.0)
    try:
        while link.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@scenario
def loopback(ring: Ring) -> None:
    """Users who may only come from this machine do not come from elsewhere."""
    outside = own_address()
    if outside is None:
        return
    with ring.fresh("loopback", "--host", "0.0.0.0") as process:
        Peer(process.address).login().close()
        peer = Peer((outside, process.port))
        peer.start(start_ok())
        try:
            answer = peer.next()
        except EndOfStream:
            return  # the machine was so busy that the time to log in was over first
        assert isinstance(answer, ConnectionClose), f"guest was let in from {outside}: {answer}"
        assert answer.reply_code == 403, answer


def own_address() -> str | None:
    """An address of this machine that is not the one of its loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: nothing is sent
            found = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if found.startswith("127.") or found == "0.0.0.0" else found


@scenario
def secrets(ring: Ring) -> None:
    """Nobody but the owner may read what a broker writes."""
    record = ring.work / "secrets" / "record"
    with ring.fresh("secrets") as process:
        channel = process.channel()
        channel.confirm()
        durable(channel, "q")
        channel.confirmed("q", b"secret", delivery_mode=2)
        process.look_at_files()
        process.stop()
        process.start("--record", str(record))
        durable(process.channel(), "q")
        process.look_at_files()


# -- numbers and patterns


@scenario
def bounds(ring: Ring) -> None:
    """Numbers beyond 64 bits, of policies and arguments, are limits that nothing reaches."""
    process = ring.process
    keys = ("max-length", "max-length-bytes", "message-ttl", "expires", "delivery-limit", "consumer-timeout")
    channel = process.channel(VHOST)
    channel.confirm()
    for number in (10**20, 2**64, 2**63, 2**63 - 1, 10**40):
        for key in keys:
            process.try_verb("set_policy", vhost=VHOST, name="h.bounds", pattern="^bound", definition={key: number})
            for kind in ("classic", "quorum"):
                name = f"bound.{kind}"
                durable(channel, name, x_queue_type=kind)
                channel.confirmed(name, b"1", b"2", delivery_mode=2)
                got = channel.get(name)
                channel.send(BasicNack(delivery_tag=got.delivery_tag, requeue=True))
                assert channel.ready(name) == 2, f"{kind} with {key} {number}: a message is gone"
                channel.call(QueueDelete(queue=name))
    process.try_verb("clear_policy", vhost=VHOST, name="h.bounds")
    for name, arguments in (
        ("bound.ttl", {"x_message_ttl": 315_360_000_000, "x_max_priority": 255, "x_max_length": 2**63 - 1}),
        ("bound.bytes", {"x_max_length_bytes": 2**63 - 1, "x_delivery_limit": -(2**63), "x_expires": 315_360_000_000}),
    ):
        durable(channel, name, **arguments)
        channel.confirmed(name, b"1", delivery_mode=2, priority=255, timestamp=2**64 - 1)
        assert channel.get(name, no_ack=True).body == b"1"
        channel.call(QueueDelete(queue=name))


LONG_STEPS: Final = "(?:(?!" + r"\B" * 300 + r"Z)(?:a|aa))+$"


@scenario
def patterns(ring: Ring) -> None:
    """Patterns that would be searched for ever keep nobody waiting."""
    process = ring.process
    channel = process.channel(VHOST)
    names = [f"{'a' * 60}y-retr{number}" for number in range(20 if ring.is_short else 200)]
    for name in names:
        channel.call(QueueDeclare(queue=name))
    for pattern in ("^(a|aa)+$", "^(a+)+$", r"^(\w+\.?)+-retry$", LONG_STEPS):
        process.verb("set_policy", vhost=VHOST, name="h.slow", pattern=pattern, definition={"max-length": 5})
    process.verb("clear_policy", vhost=VHOST, name="h.slow")
    for name in names:
        channel.call(QueueDelete(queue=name))


# -- order, bindings, dead letters


@scenario
def order(ring: Ring) -> None:
    """What comes later in a read sees what came before it."""
    channel = ring.process.channel(VHOST)
    channel.queue("order.dead", exclusive=False)
    letters: dict[str, Any] = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "order.dead"}
    channel.queue("order.live", exclusive=False, **letters)
    channel.queue("order.none", exclusive=False, x_max_length=0, **letters)
    for number in range(5):
        body = b"%d" % number
        channel.publish("order.live", body)
        got = channel.get("order.live")
        channel.send(BasicReject(delivery_tag=got.delivery_tag), BasicGet(queue="order.dead", no_ack=True))
        answer = channel.next()
        assert isinstance(answer, BasicGetOk), f"a message that was rejected is not where it has to be: {answer}"
        assert answer.body == body
        channel.send(BasicPublish(routing_key="order.none", body=body), BasicGet(queue="order.dead", no_ack=True))
        answer = channel.next()
        assert isinstance(answer, BasicGetOk), f"a message that was too much is not where it has to be: {answer}"
    taker = ring.process.channel(VHOST)
    queue = taker.queue("order.taken", exclusive=False)
    taker.consume(queue, no_ack=True)
    for number in range(5):
        body = b"%d" % number
        channel.send(BasicPublish(routing_key=queue, body=body), QueueDeclare(queue=queue, passive=True))
        assert channel.expect(QueueDeclareOk).message_count == 0, "a message is counted that a consumer waited for"
        assert taker.expect(BasicDeliver).body == body
        channel.send(BasicPublish(routing_key=queue, body=body), BasicGet(queue=queue, no_ack=True))
        answer = channel.next()
        assert isinstance(answer, BasicGetEmpty), f"basic.get took what a consumer waited for: {answer}"
        assert taker.expect(BasicDeliver).body == body
    for name in ("order.dead", "order.live", "order.none", "order.taken"):
        channel.call(QueueDelete(queue=name))


FORWARD: Final = {"x-match": "all", "a": 1, "b": 2}
BACKWARD: Final = dict(reversed(FORWARD.items()))


@scenario
def binding(ring: Ring) -> None:
    """A binding is the same in whatever order its arguments come."""
    channel = ring.process.channel(VHOST)
    durable(channel, "bound.once")
    _bind_twice(ring, channel, "bound.once")
    channel.call(QueueUnbind(queue="bound.once", exchange="amq.headers", arguments=BACKWARD))
    assert _bindings(ring, "bound.once") == 0, "the binding is still there after it was unbound"
    channel.call(QueueDelete(queue="bound.once"))


@scenario
def kept_binding(ring: Ring) -> Iterator[None]:
    """A binding is the same after a restart, and when it was unbound it does not come back."""
    channel = ring.process.channel(VHOST)
    durable(channel, "bound.kept")
    _bind_twice(ring, channel, "bound.kept")
    yield
    channel = ring.process.channel(VHOST)
    count = _bindings(ring, "bound.kept")
    assert count == 1, f"{count} bindings with the same arguments after a restart"
    channel.call(QueueUnbind(queue="bound.kept", exchange="amq.headers", arguments=BACKWARD))
    assert _bindings(ring, "bound.kept") == 0, "the binding is still there after it was unbound"
    yield
    found = _bindings(ring, "bound.kept")
    ring.process.channel(VHOST).call(QueueDelete(queue="bound.kept"))
    assert found == 0, "the binding is there again after a restart"


def _bind_twice(ring: Ring, channel: Channel, queue: str) -> None:
    for given in (FORWARD, BACKWARD):
        channel.call(QueueBind(queue=queue, exchange="amq.headers", arguments=given))
    count = _bindings(ring, queue)
    assert count == 1, f"{count} bindings with the same arguments"


def _bindings(ring: Ring, queue: str) -> int:
    exported = ring.process.verb("export_definitions")["bindings"]
    return sum(each["destination"] == queue for each in exported)


@scenario
def chain(ring: Ring) -> None:
    """Many messages that go through a chain of queues as dead letters keep nobody waiting."""
    _follow_chain(ring, 12, 1500 if ring.is_short else 5000)


@scenario
def deep_chain(ring: Ring) -> None:
    """The same through a long chain, so that each letter has had many deaths."""
    _follow_chain(ring, 60, 200 if ring.is_short else 1000)


def _follow_chain(ring: Ring, length: int, count: int) -> None:
    channel = ring.process.channel(VHOST)
    other = ring.process.channel(VHOST)  # publishers have to wait while there are many letters
    for number in range(length):
        following: dict[str, Any] = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": f"chain.{number + 1}"}
        channel.queue(f"chain.{number}", exclusive=False, x_max_length=0, **following)
    channel.queue(f"chain.{length}", exclusive=False)
    channel.publish("chain.0", *[b"x"] * count)
    eventually(lambda: other.ready(f"chain.{length}") == count, 120)
    for number in range(length + 1):
        channel.call(QueueDelete(queue=f"chain.{number}"))


@scenario
def deduplication(ring: Ring) -> None:
    """What a deduplicating queue has refused may come again."""
    channel = ring.process.channel(VHOST)
    durable(channel, "once.queue", x_message_deduplication=True, **FULL)
    _refuse_and_repeat(channel, "", "once.queue")
    channel.call(QueueDelete(queue="once.queue"))


@scenario
def deduplicating_exchange(ring: Ring) -> None:
    """What no queue behind a deduplicating exchange has taken may come again."""
    channel = ring.process.channel(VHOST)
    durable(channel, "once.exchange", **FULL)
    channel.exchange("once", "x-message-deduplication", x_cache_size=100)
    channel.bind("once.exchange", "once", "once.exchange")
    _refuse_and_repeat(channel, "once", "once.exchange")
    channel.delete_exchanges("once")
    channel.call(QueueDelete(queue="once.exchange"))


FULL: Final[dict[str, Any]] = {"x_max_length": 1, "x_overflow": "reject-publish"}


def _refuse_and_repeat(channel: Channel, exchange: str, queue: str) -> None:
    once = {"x-deduplication-header": "1"}
    channel.confirm()
    channel.send(persistent(queue, b"before", exchange))
    assert fate(channel) is BasicAck, "an empty queue refused a message"
    channel.send(persistent(queue, b"refused", exchange, headers=once))
    assert fate(channel) is BasicNack, "a full queue took a message"
    channel.call(QueuePurge(queue=queue))
    channel.send(persistent(queue, b"again", exchange, headers=once))
    assert fate(channel) is BasicAck, "refused again"
    assert channel.bodies(queue) == [b"again"], "what was refused counts as seen"


# -- definitions, before and after a restart


@scenario
def deletion(ring: Ring) -> Iterator[None]:
    """A virtual host that is made anew has nothing of the one of its name before it."""
    process = ring.process
    process.verb("add_vhost", name="h.v3")
    process.verb("set_permissions", user="guest", vhost="h.v3", configure=".*", write=".*", read=".*")
    process.verb("set_policy", vhost="h.v3", name="p", pattern=".*", definition={"max-length": 1})
    process.verb("set_operator_policy", vhost="h.v3", name="o", pattern=".*", definition={"max-length": 1})
    process.verb("set_parameter", vhost="h.v3", component="h.c", name="n", value=1)
    process.verb("set_vhost_limits", vhost="h.v3", limits={"max-queues": 1})
    process.verb("set_topic_permissions", user="guest", vhost="h.v3", exchange="amq.topic", write="", read="")
    durable(process.channel("h.v3"), "q")
    process.verb("delete_vhost", name="h.v3")
    process.verb("add_vhost", name="h.v3")
    assert (left := _left(process)) == [], f"left of a virtual host that was deleted: {left}"
    yield
    assert (left := _left(process)) == [], f"left of a virtual host that was deleted, after a restart: {left}"
    process.verb("delete_vhost", name="h.v3")


def _left(process: Process) -> list[Any]:
    found = [process.verb(f"list_{what}", vhost="h.v3") for what in ("policies", "operator_policies", "parameters")]
    found.append(process.verb("list_vhost_limits", vhost="h.v3"))
    found.append(process.verb("list_permissions", vhost="h.v3") + process.verb("list_topic_permissions", vhost="h.v3"))
    exported = process.verb("export_definitions")
    found.append([each for section in ("queues", "bindings") for each in exported[section] if each["vhost"] == "h.v3"])
    return [each for entries in found for each in entries]


@scenario
def refused(ring: Ring) -> Iterator[None]:
    """What was refused has changed nothing, now or after a restart."""
    process = ring.process
    policy = {"vhost": VHOST, "name": "h.refused", "pattern": "^h[.]"}
    process.verb("set_policy", **policy, definition={"max-length": 7})
    process.try_verb("add_user", name="h.refused", password="secret")
    before = process.definitions()
    for verb, arguments in (
        ("set_policy", {**policy, "definition": {"max-length": -1}}),
        ("set_policy", {**policy, "definition": {"unknown": 1}}),
        ("set_policy", {**policy, "definition": {}}),
        ("set_policy", {**policy, "definition": {"max-length": 1}, "apply_to": "x"}),
        ("set_policy", {**policy, "name": "h.other", "definition": {"expires": 0}}),
        ("set_operator_policy", {**policy, "definition": {"dead-letter-exchange": "x"}}),
        ("set_vhost_limits", {"vhost": VHOST, "limits": {"unknown": 1}}),
        ("set_vhost_limits", {"vhost": VHOST, "limits": {"max-queues": -10, "x": 1}}),
        ("set_user_limits", {"user": "h.refused", "limits": {"max-channels": 1, "x": 1}}),
        ("set_permissions", {"user": "h.refused", "vhost": VHOST, "configure": "((", "write": "", "read": ""}),
        ("set_permissions", {"user": "h.refused", "vhost": VHOST, "configure": "", "write": "", "read": "(("}),
        ("add_vhost", {"name": "h.refused", "default_queue_type": "x"}),
        ("add_user", {"name": "h.other", "password_hash": "x", "hashing_algorithm": "y"}),
        ("set_parameter", {"vhost": VHOST, "component": "policy", "name": "x", "value": {}}),
    ):
        assert not process.try_verb(verb, **arguments), f"{verb} {arguments} was not refused"
    wrong = {"queues": [{"name": "h.refused", "vhost": VHOST}, {"name": 1}], "users": [{"name": "h.refused2"}]}
    with contextlib.suppress(Exception):
        process.verb("import_definitions", content=wrong, atomic=True)
    assert process.definitions() == before, "something was refused and has changed definitions"
    yield
    for section, entries in process.definitions().items():
        mine = [each for each in entries if "h.refused" in each or "h.other" in each]
        assert mine == [each for each in before[section] if "h.refused" in each], f"refused, but there: {mine}"
    process.verb("clear_policy", vhost=VHOST, name="h.refused")
    process.verb("delete_user", name="h.refused")


@scenario
def delivery_counts(ring: Ring) -> Iterator[None]:
    """How often a message was returned is known after a restart."""
    process = ring.process
    channel = process.channel(VHOST)
    channel.confirm()
    letters = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "counted.dead"}
    durable(channel, "counted", x_queue_type="quorum", x_delivery_limit=3, **letters)
    durable(channel, "counted.dead")
    channel.confirmed("counted", b"1", delivery_mode=2)
    for _ in range(3):
        _give_back(channel, "counted")
    yield
    channel = process.channel(VHOST)
    got = channel.get("counted")
    headers = got.properties.headers or {}
    assert headers.get("x-delivery-count") == 3, f"rejected three times, and after a restart there is {headers}"
    channel.send(BasicReject(delivery_tag=got.delivery_tag, requeue=True))
    eventually(lambda: channel.ready("counted.dead") == 1)
    for name in ("counted", "counted.dead"):
        channel.call(QueueDelete(queue=name))


def _give_back(channel: Channel, queue: str) -> None:
    tag = channel.get(queue).delivery_tag
    channel.send(BasicReject(delivery_tag=tag, requeue=True))


# -- disks, files and memory


@scenario
def refused_by_the_disk(ring: Ring) -> None:
    """Who publishes what cannot be stored hears of it; and all goes on when it can be."""
    with ring.fresh("nospace", "--disk-free-limit", "0") as process:
        channel = process.channel()
        durable(channel, "q")
        channel.confirm()
        channel.confirmed("q", b"1", delivery_mode=2)
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
        channel.send(persistent("q", b"2" * 10_000))
        answer = fate(channel)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert answer is BasicNack, "a message was confirmed that could not be stored"
        channel.send(persistent("q", b"3"))
        assert fate(channel) is BasicAck, "a message was refused although the disk works again"
        process.kill()
        process.start()
        bodies = process.channel().bodies("q")
        assert bodies[:1] + bodies[-1:] == [b"1", b"3"], f"{len(bodies)} messages are there after a kill"


@scenario
def page_in(ring: Ring) -> None:
    """What rests on the disk and cannot be read for want of files is not lost."""
    count = 2000
    with ring.fresh("pagein", "--memory-budget", str(MB)) as process:
        channel = process.channel()
        durable(channel, "q")
        channel.confirm()
        for start in range(0, count, 100):
            channel.send(*(persistent("q", b"%d " % number + bytes(2000)) for number in range(start, start + 100)))
            waiting = 100
            while waiting:
                answer = channel.expect(BasicAck)
                waiting = start + 100 - answer.delivery_tag if answer.multiple else waiting - 1
        got: list[int] = []
        with disks.few_files(process.pid, 0), contextlib.suppress(TimeoutError, AssertionError, EndOfStream):
            while len(got) < count:
                channel.send(BasicGet(queue="q", no_ack=True))
                message = channel.next(2.0)
                if not isinstance(message, BasicGetOk):
                    break
                got.append(int(message.body.split()[0]))
        if process.verb("show_status")["faulty_queues"]:
            process.try_verb("repair_queue", name="q")
        eventually(lambda: not process.verb("show_status")["faulty_queues"])
        channel = process.channel()
        got += [int(body.split()[0]) for body in channel.bodies("q")]
        missing = sorted(set(range(count)) - set(got))
        assert not missing, f"{len(missing)} messages are lost, the first one is {missing[0]}; {len(got)} came"
        assert got == sorted(got), "messages came in another order"


WRONG: Final[tuple[Any, ...]] = (7, -1, 2**63 - 1, 1.5, "text", b"", b"\xff" * 40, None)


@scenario
def wrong_types(ring: Ring) -> None:
    """A data directory in which values have another type is opened, or refused with a sentence."""
    with ring.fresh("types") as process:
        channel = process.channel()
        channel.confirm()
        for number in range(5):
            durable(channel, f"q{number}", x_max_length=100)
            channel.confirmed(f"q{number}", *[b"x"] * 5, delivery_mode=2)
        process.verb("add_vhost", name="v")
        process.verb("add_user", name="u", password="secret")
        process.verb("set_policy", vhost="/", name="p", pattern="^q", definition={"max-length": 50})
        process.verb("set_parameter", vhost="/", component="c", name="n", value=1)
        process.verb("set_vhost_limits", vhost="v", limits={"max-queues": 1})
        process.stop()
        path = process.directory / "leveret.db"
        kept = path.read_bytes()
        for number in range(3 if ring.is_short else 30):
            path.write_bytes(kept)
            what = change_types(path, ring.chance)
            start_damaged(process, f"{number}: {what}", ring.tell)


ENTRY: Final = ("user", "permission", "vhost")
"""Definitions without which nobody could log in any more."""


def change_types(path: Path, chance: random.Random) -> str:
    """Give some values of a data file another type. Returns: which, for people."""
    changed = []
    with contextlib.closing(sqlite3.connect(path)) as sql:
        for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in sql.execute(f"PRAGMA table_info({name})")]:
                value = chance.choice(WRONG)
                if chance.random() < 0.6:
                    continue
                with contextlib.suppress(sqlite3.Error):
                    but = f"WHERE kind NOT IN {ENTRY}" if name == "definitions" else ""
                    rows = [row[0] for row in sql.execute(f"SELECT rowid FROM {name} {but}")]
                    row = chance.choice(rows or [0])
                    sql.execute(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (value, row))
                    changed.append(f"{name}.{column} = {value!r}")
        sql.commit()
    return ", ".join(changed)


def start_damaged(process: Process, what: str, tell: Tell) -> None:
    """Start a broker on a damaged data directory: it comes up and works, or ends with a sentence."""
    try:
        process.start()
    except RuntimeError:
        return  # Process has told it
    before = process.log.read_text(errors="replace")
    try:
        process.verb("show_status")
        process.channel().queue()
    except (AssertionError, OSError) as error:
        tell("damage", f"{what}: the broker does not work: {type(error).__name__}: {error}; {before[-300:]}")
    process.stop()


def _peak(process: Process, begin: bool) -> int:
    """Bytes of resident memory at most since the last time. begin: now is the beginning."""
    if begin:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


@contextlib.contextmanager
def _bounded(ring: Ring, name: str) -> Iterator[Process]:
    """A broker with a memory budget, that must not need much more."""
    with ring.fresh(name, "--memory-budget", str(BUDGET)) as process:
        channel = process.channel()
        channel.queue("warm")
        channel.publish("warm", bytes(1000))
        channel.get("warm", no_ack=True)
        limit = _peak(process, True) + BUDGET + BEYOND_BUDGET
        yield process
        peak = _peak(process, False)
        text = f"{peak >> 20} MiB, and {limit >> 20} MiB would be its budget and {BEYOND_BUDGET >> 20} MiB beside it"
        assert peak <= limit, f"the broker needed {text}"


SIZE: Final = 100_000
TOO_MUCH: Final = 130 * MB // SIZE  # messages, which need more than is allowed if all are in memory


def _pour(channel: Channel, queue: str, count: int = TOO_MUCH) -> None:
    """Publish so many messages of SIZE, some at a time."""
    channel.confirm()
    done = 0
    while done < count:
        channel.send(*[persistent(queue, bytes(SIZE))] * 20)
        done += 20
        while channel.expect(BasicAck).delivery_tag < done:
            pass


@scenario
def memory_of_ready(ring: Ring) -> None:
    """Messages that wait need no more memory than the budget."""
    with _bounded(ring, "ready") as process:
        channel = process.channel()
        durable(channel, "q")
        _pour(channel, "q")


@scenario
def memory_of_unacked(ring: Ring) -> None:
    """Messages that a consumer keeps need no more memory than the budget."""
    with _bounded(ring, "unacked") as process:
        channel = process.channel()
        durable(channel, "q")
        taker = process.channel()
        taker.consume("q")
        channel.confirm()
        for _ in range(TOO_MUCH // 20):
            channel.send(*[persistent("q", bytes(SIZE))] * 20)
            for _ in range(20):
                taker.expect(BasicDeliver)


@scenario
def memory_of_transactions(ring: Ring) -> None:
    """Messages of a transaction that is not committed need no more memory than the budget, or it is refused."""
    with _bounded(ring, "transactions") as process:
        channel = process.channel()
        durable(channel, "q")
        channel.call(TxSelect())
        with contextlib.suppress(AssertionError, EndOfStream, OSError):  # it may be refused
            for _ in range(TOO_MUCH // 20):
                channel.send(*[persistent("q", bytes(SIZE))] * 20)
            channel.send(TxCommit())
            channel.expect(TxCommitOk, 60)


@scenario
def flipped_bits(ring: Ring) -> None:
    """A broker starts on a data directory of which a bit is wrong, and keeps what that does not hit."""
    with ring.fresh("bits") as process:
        channel = process.channel()
        channel.confirm()
        for number in range(4):
            durable(channel, f"q{number}")
            channel.confirmed(f"q{number}", *[b"%d" % number * 50] * 10, delivery_mode=2)
        process.kill()  # so that there is a write-ahead log, too
        kept = {path: path.read_bytes() for path in process.directory.glob("leveret.db*")}
        for number in range(2 if ring.is_short else 60):
            for path in process.directory.glob("leveret.db*"):
                path.unlink()
            for path, data in kept.items():
                path.write_bytes(data)
                path.chmod(0o600)
            what = disks.flip(process.directory, ring.chance)
            start_damaged(process, f"{number}: {what}", ring.tell)


@scenario
def channels(ring: Ring) -> None:
    """A connection with as many channels as it may have, each of which is in the middle of a message."""
    peer = ring.process.peer(VHOST)
    publish = BasicPublish(routing_key="h.plain").payload()
    opens = b"".join(frame(METHOD, number, ChannelOpen().payload()) for number in range(1, 2048))
    peer.link.send_bytes(opens)
    for number in range(1, 2048):
        assert peer.link.read_frame().channel == number
    peer.link.send_bytes(b"".join(frame(METHOD, number, publish) for number in range(1, 2048)))
    peer.link.close()


@scenario
def floods(ring: Ring) -> None:
    """Somebody who publishes to many queues at once, and reads nothing."""
    channel = ring.process.channel(VHOST)
    names = [channel.queue(f"flood.{number}", exclusive=False, x_max_length=100) for number in range(50)]
    channel.exchange("flood", "fanout")
    for name in names:
        channel.bind(name, "flood")
    channel.publish("", *[bytes(100)] * (2000 if ring.is_short else 20_000), exchange="flood")
    channel.call(QueueDeclare(exclusive=True))
    channel.delete_exchanges("flood")
    for name in names:
        channel.call(QueueDelete(queue=name))


@scenario
def texts(ring: Ring) -> None:
    """Names that are no text: declared, bound, published to, exported, kept over a restart."""
    channel = ring.process.channel(VHOST)
    for text in edges.TEXTS:
        name = text.decode("utf-8", "surrogateescape")
        if not name or "\n" in name or name.startswith("amq."):
            continue
        try:
            channel.call(QueueDeclare(queue=name, durable=True))
        except AssertionError as error:
            if "reply_code=501" not in str(error):
                raise
            channel = ring.process.channel(VHOST)
            continue
        channel.publish(name, b"x")
        assert channel.get(name, no_ack=True).body == b"x"
        channel.call(QueueDelete(queue=name))
    ring.process.definitions()
