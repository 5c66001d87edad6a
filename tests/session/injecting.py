"""Lets one call after the other fail, each in a broker of its own, and looks whether anybody else notices.

    python tests/session/injecting.py [--seed N] [POINT ...]

Every call in the source to a method of a port is a point, found by `ast`; the modules of the broker are loaded
from their source with something put in front of it that raises once when its turn has come. Then a victim does what
leads there, and a canary is asked for its consumer, its confirms, its counts and its remote calls. In the end the data
directory is opened by a broker without faults: what was confirmed and not acknowledged has to be there.

Prints a line of JSON for each point: {"point": "core/queue/queue.py:320 log.append", "ways": [...], "wrong": [...]},
and "closed" with the codes with which the victim's connections and channels were closed.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "leveret"
PORTS = {
    "core/message/log.py": {"MessageLog", "LogListener", "Logged"},
    "core/message/confirm.py": {"ConfirmListener"},
    "core/message/destination.py": {"Destination"},
    "core/definition/log.py": {"DefinitionLog", "Journal"},
    "core/queue/client.py": {"Client", "Follower", "Observer"},
    "core/queue/consumers.py": {"Subscriber"},
    "core/turn/turn.py": {"Sink"},
    "core/turn/faults.py": {"Closable"},
    "core/turn/clock.py": {"Timed", "Dated"},
    "core/turn/background.py": {"BackgroundJob"},
    "core/turn/flow_control.py": {"FlowControlled"},
    "core/turn/alarms.py": {"Blocked"},
    "core/queue/ready.py": {"Source"},
    "core/exchange/interceptor.py": {"Interceptor"},
}
RECEIVERS = {  # what the ports are called where they are called
    *(
        "log",
        "_log",
        "_definition_log",
        "interceptor",
        "source",
        "_source",
        "publisher",
        "job",
        "listener",
        "_listener",
    ),
    *(
        "destination",
        "journal",
        "subscriber",
        "observer",
        "follower",
        "_publisher",
        "sink",
        "client",
        "blocked",
        "target",
        "dated",
        "letter",
        "departure",
        "connection",
        "conversation",
    ),
}
LINE = {"has_head", "has_near_head", "pop", "push", "put_back", "first", "deadline_ms"}
PARTS = {  # what a queue is made of, and what the loop calls beside the ports: these may fail as well
    "ready": LINE,
    "line": LINE,
    "consumers": {"next", "add", "remove", "wake"},
    "_expiry": {"look", "used", "watch_idle"},
    "_pending": {"pay", "refuse", "add"},
    "letter": {"send"},
    "departure": {"send"},
    "protocol": {"flush", "catch_up"},
    "journal": {"save", "on_durable", "lose"},
    "queue": {
        "publish",
        "settle",
        "requeue",
        "discard",
        "page_out",
        "on_durable",
        "on_refused",
        "trim",
        "take_back",
        "let_in",
    },
    "self": {"_drop_excess", "_has_failed_too_often", "_has_room", "_retry_delay_ms"},
    "retries": {"add", "watch", "take"},
    "in_log": {"count"},
    "holding": {"due_ms", "add", "take"},
    "brake": {"room", "took", "watch"},
    "duplicates": {"value", "claim", "confirm", "release"},
}
NO_POINTS = {"fail", "give_up", "recover", "load", "close"}  # the way out, and what is not called while it runs
FOLDERS = ("core", "session", "server", "store")


class Injected(Exception):
    """What a point raises."""


class Point:
    """One call. where: file, line and what is called."""

    def __init__(self, path: str, line: int, receiver: str, method: str) -> None:
        self.path = path
        self.line = line
        self.method = method
        self.text = f"{path}:{line} {receiver}.{method}"


POINTS: list[Point] = []
ARMED: list[int] = []  # the point that raises, if there is one
PASSED: set[int] = set()


def pass_point(number: int, receiver: object) -> object:
    """In front of every call: raises if it is the turn of this point, once."""
    PASSED.add(number)
    if ARMED and ARMED[0] == number:
        ARMED.clear()
        raise Injected(POINTS[number].text)
    return receiver


def port_methods() -> dict[str, set[str]]:
    """The methods of each port."""
    found: dict[str, set[str]] = {}
    for path, names in PORTS.items():
        for node in ast.parse((PACKAGE / path).read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in names:
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                found[node.name] = {name for name in methods if not name.startswith("_")} - NO_POINTS
    return found


METHODS = set().union(*port_methods().values())


class Injection(ast.NodeTransformer):
    """Puts a point in front of every call to a method of a port."""

    def __init__(self, path: str) -> None:
        self.path = path

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call."""
        self.generic_visit(node)
        function = node.func
        if not isinstance(function, ast.Attribute):
            return node
        receiver = ast.unparse(function.value).rpartition(".")[2].partition("(")[0]
        is_of_port = function.attr in METHODS and receiver in RECEIVERS
        if not is_of_port and function.attr not in PARTS.get(receiver, ()):
            return node
        POINTS.append(Point(self.path, node.lineno, receiver, function.attr))
        number = ast.Constant(len(POINTS) - 1)
        wrapped = ast.Call(ast.Name("pass_point", ast.Load()), [number, function.value], [])
        return ast.copy_location(
            ast.Call(ast.Attribute(wrapped, function.attr, ast.Load()), node.args, node.keywords), node
        )


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Loads a module of the broker from its source, with points."""

    def get_code(self, fullname: str) -> Any:
        """Compile it anew."""
        path = Path(self.get_filename(fullname))
        tree = ast.parse(path.read_text())
        relative = path.relative_to(PACKAGE).as_posix()
        if relative.split("/")[0] in FOLDERS and "rescue" not in relative:
            tree = Injection(relative).visit(tree)
        return compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        module.__dict__["pass_point"] = pass_point
        super().exec_module(module)


class SourceFinder(importlib.abc.MetaPathFinder):
    """Finds the source of a module, never what was compiled of it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Where a module of the broker is."""
        if fullname.split(".")[0] != "leveret":
            return None
        place = PACKAGE.joinpath(*fullname.split(".")[1:])
        if (place / "__init__.py").exists():
            file, locations = place / "__init__.py", [str(place)]
        elif place.with_suffix(".py").exists():
            file, locations = place.with_suffix(".py"), None
        else:
            return None
        loader = SourceLoader(fullname, str(file))
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=locations
        )


sys.meta_path.insert(0, SourceFinder())
sys.path.insert(0, str(ROOT))

from leveret.core.access.user import Credential, Permission, User  # noqa: E402
from leveret.core.broker import Broker  # noqa: E402
from leveret.core.message.confirm import Confirm  # noqa: E402
from leveret.core.message.message import Message  # noqa: E402
from leveret.core.policy.policy import Policy  # noqa: E402
from leveret.core.queue.client import Client, Follower, Observer  # noqa: E402
from leveret.core.turn.alarms import DISK  # noqa: E402
from leveret.core.turn.clock import Clock  # noqa: E402
from leveret.server.driver import Driver  # noqa: E402
from leveret.server.openings import OPENINGS  # noqa: E402
from leveret.server.transport import ClientProtocol  # noqa: E402
from leveret.session.connection import publisher_flow  # noqa: E402
from leveret.store.chunk_log import ChunkLog  # noqa: E402
from leveret.store.rescue.salvage import open_database  # noqa: E402
from leveret.wire import methods as amqp  # noqa: E402
from leveret.wire.fields import boolean, long, longstr  # noqa: E402
from leveret.wire.properties import BasicProperties  # noqa: E402
from tests.brokers.transport import Everybody, Wire  # noqa: E402
from tests.clients.socketless import Got, Parser, encode, handshake  # noqa: E402

vars(publisher_flow)["PATIENCE_MS"] = (
    10_000  # on a busy machine too, a publisher that was held back goes on as messages leave
)


PATIENCE_S = 60.0  # for a broker that should become quiet


class Silent(Follower):
    """Hears how a publish ends."""

    def on_published(self, is_confirmed: bool, how: int) -> None:
        """Nothing."""


class Observing(Observer):
    """Holds the confirms of publishes in one virtual host for a moment, and follows those of some bodies."""

    def __init__(self) -> None:
        self.held: list[Confirm] = []

    def on_publish(self, client: Client, message: Message, queues: Any, mandatory: bool) -> int:
        """Hold its confirm, or follow it."""
        return 4 if message.body().startswith(b"followed") else 3

    def follower(self) -> Follower:
        """Somebody."""
        return Silent()

    def on_held(self, confirm: Confirm) -> None:
        """Remember it."""
        self.held.append(confirm)

    def on_delivery(self, client: Client, stored: Any, tag: int, no_ack: bool, is_get: bool) -> None:
        """Nothing."""

    def on_settle(self, stored: Any, how: int) -> None:
        """Nothing."""


class Remote:
    """A client: a real protocol on a socket that is none. gone: bodies that it has acknowledged."""

    def __init__(self, world: World, vhost: str) -> None:
        self.world = world
        self.vhost = vhost
        self.heard: list[Got] = []
        self.confirmed = 0

    async def open(self, confirms: bool = True) -> Remote:
        """Connect, and open channel 1."""
        self.wire = Wire()
        self.protocol = ClientProtocol(self.world.driver, self.world.everybody, OPENINGS)
        self._parser = Parser()
        self.protocol.connection_made(self.wire)
        for piece in handshake(60, vhost=self.vhost):
            self.protocol.data_received(piece)
            await self.world.quiet()
        self.send(amqp.ChannelOpen())
        if confirms:
            self.send(amqp.ConfirmSelect())
        await self.world.quiet()
        self.hear()
        return self

    @property
    def is_closed(self) -> bool:
        """Whether the broker closed this connection."""
        return self.wire.is_closing() or any(isinstance(got.method, amqp.ConnectionClose) for got in self.heard)

    def closed(self) -> list[int]:
        """With which codes the broker closed this connection or its channel."""
        self.hear()
        kinds = (amqp.ConnectionClose, amqp.ChannelClose)
        return [got.method.reply_code for got in self.heard if isinstance(got.method, kinds)]

    def send(self, method: Any, body: bytes | None = None, properties: BasicProperties | None = None) -> None:
        """Send on channel 1, or on channel 0 what belongs there."""
        channel = 0 if isinstance(method, amqp.ConnectionClose | amqp.ConnectionCloseOk) else 1
        if not self.wire.is_closing():
            self.protocol.data_received(encode(channel, method, body, properties))

    def publish(self, queue: str, body: bytes, exchange: str = "", persistent: bool = True, **more: Any) -> None:
        """Publish to a queue, or through an exchange."""
        properties = BasicProperties()
        properties.delivery_mode = 2 if persistent else 1
        for name, value in more.items():
            setattr(properties, name, value)
        self.send(amqp.BasicPublish(exchange, queue), body, properties)

    def hear(self) -> list[Got]:
        """What came since the last time."""
        data = b"".join(self.wire.sent)
        self.wire.sent.clear()
        found = self._parser.feed(data)
        self.heard += found
        return found

    async def call(self, method: Any, body: bytes | None = None) -> list[Got]:
        """Send, wait until all is quiet, and hear."""
        self.send(method, body)
        await self.world.quiet()
        return self.hear()

    async def confirmed_publish(self, queue: str, body: bytes, exchange: str = "", **more: Any) -> bool:
        """Publish a persistent message. Returns: whether it was confirmed; then it must not be lost."""
        self.publish(queue, body, exchange, **more)
        await self.world.quiet()
        is_acked = any(isinstance(got.method, amqp.BasicAck) for got in self.hear())
        if is_acked:
            self.world.ledger.add(body)
        return is_acked


class World:
    """A broker on a directory, with a victim and a canary."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = asyncio.get_running_loop()
        self.log = ChunkLog(open_database(directory), self._notify)
        self.broker = Broker(self.log, self.log, Clock(1_000_000, 1_700_000_000_000), 1, "test")
        self.log.listener = self.broker.news
        self.driver = Driver(self.broker, self.loop)
        self.broker.recover()
        for vhost in ("/", "canary", "doomed"):
            self.broker.add_vhost(vhost)
        user = User("guest", Credential("", ""), ())
        for vhost in ("/", "canary", "doomed"):
            user.permissions[vhost] = Permission(".*", ".*", ".*", self.broker.matcher)
        self.everybody = Everybody(user)
        self.ledger: set[bytes] = set()
        self.wrong: list[str] = []

    def _notify(self) -> None:
        self.loop.call_soon_threadsafe(self._committed)

    def _committed(self) -> None:
        self.driver.refresh_clock()
        self.log.on_committed()
        self.driver.turn()

    async def quiet(self) -> None:
        """Wait until the broker has nothing more to do."""
        calm = 0
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            await asyncio.sleep(0.001 if self.log._is_writing or self.driver._rest is not None else 0)
            is_busy = self.driver._scheduled or self.broker.is_busy() or self.log._is_writing
            calm = 0 if is_busy or self.driver._rest is not None else calm + 1
            if calm == 3:
                return
        self.wrong.append("the broker does not come to rest")

    async def administer(self, verb: Callable[[], object]) -> None:
        """Do what an administrator wants, as the control socket does: whoever asked hears that it failed."""
        with contextlib.suppress(Injected):
            verb()
        self.broker.settle()
        self.driver.turn()
        await self.quiet()

    async def let_pass(self, duration_ms: int) -> None:
        """Let time pass."""
        self.driver.skip(duration_ms, True)
        await self.quiet()

    async def begin(self) -> None:
        """Let everybody connect, the canary with all that it will be asked for."""
        self.canaries = [await Remote(self, vhost).open() for vhost in ("/", "canary")]
        for canary in self.canaries:
            await canary.call(amqp.QueueDeclare("canary", durable=True))
            await canary.call(amqp.BasicConsume("canary", "tag"))
            await canary.call(amqp.BasicConsume("amq.rabbitmq.reply-to", "replies", no_ack=True))
        self.server = await Remote(self, "/").open(False)
        await self.server.call(amqp.QueueDeclare("rpc"))
        await self.server.call(amqp.BasicConsume("rpc", "rpc", no_ack=True))
        self.victim = await Remote(self, "/").open()
        self.second = await Remote(self, "/").open(False)

    async def ask_canaries(self) -> None:
        """Nobody but the victim may have noticed anything."""
        for number, canary in enumerate(self.canaries):
            where = f"the canary in {canary.vhost}"
            for count in range(2):
                body = b"%d of %d" % (count, number)
                canary.publish("canary", body)
                await self.quiet()
                heard = canary.hear()
                kinds = {type(got.method) for got in heard}
                if [got.body for got in heard if isinstance(got.method, amqp.BasicDeliver)] != [body]:
                    self.wrong.append(f"{where} got no delivery: {heard}")
                if amqp.BasicAck not in kinds:
                    self.wrong.append(f"{where} got no confirm: {heard}")
                tags = [got.method.delivery_tag for got in heard if isinstance(got.method, amqp.BasicDeliver)]
                for tag in tags:
                    canary.send(amqp.BasicAck(tag))
            heard = await canary.call(amqp.QueueDeclare("canary", passive=True))
            if [got.method.message_count for got in heard if isinstance(got.method, amqp.QueueDeclareOk)] != [0]:
                self.wrong.append(f"{where} counts wrongly: {heard}")
            if canary.is_closed:
                self.wrong.append(f"{where} was closed")
        await self._ask_server()

    async def _ask_server(self) -> None:
        canary = self.canaries[0]
        self.server.hear()
        canary.publish("rpc", b"question", persistent=False, reply_to="amq.rabbitmq.reply-to")
        await self.quiet()
        for got in self.server.hear():
            if isinstance(got.method, amqp.BasicDeliver) and got.properties is not None:
                self.server.publish(got.properties.reply_to or "", b"answer", persistent=False)
        await self.quiet()
        if b"answer" not in [got.body for got in canary.hear()]:
            self.wrong.append("a remote call had no answer")

    async def repair(self) -> None:
        """Let faulty queues go on; somebody new uses each queue of the victim."""
        for queue in list(self.broker.queues()):
            if queue.fault:
                queue.repair()
            if queue.fault:
                self.wrong.append(f"{queue} is still faulty: {queue.fault}")
        await self.let_pass(3000)
        heir = await Remote(self, "/").open()
        for name in [name for name, queue in self.broker.vhosts["/"].queues.items() if not queue.owner]:
            if name.startswith("v."):
                heard = await heir.call(amqp.QueueDeclare(name, passive=True))
                if not any(isinstance(got.method, amqp.QueueDeclareOk) for got in heard):
                    self.wrong.append(f"queue {name} does not answer: {heard}")
        heir.protocol.connection_lost(None)
        await self.quiet()

    def stop(self) -> None:
        """Stop as a kill would: nothing is written any more."""
        for timer in (self.driver._timer, self.driver._rest):
            if timer is not None:
                timer.cancel()
        if self.log._committer is not None:
            self.log._committer.close()
        self.log._reader.close()

    def look_for_losses(self, copy: Path) -> None:
        """What a broker finds that starts after a kill."""
        log = ChunkLog(open_database(copy), lambda: None)
        broker = Broker(log, log, Clock(1_000_000, 1_700_000_000_000), 2, "test")
        log.listener = broker.news
        found = {recovered.message.body() for recovered in log.recover() if hasattr(recovered, "message")}
        log.close()
        lost = self.ledger - found
        if lost:
            self.wrong.append(f"lost after a restart: {sorted(lost)}")


Op = Callable[[World], Awaitable[None]]
OPS: list[Op] = []


def op(function: Op) -> Op:
    """Something that the victim does."""
    OPS.append(function)
    return function


async def declare(world: World, name: str, **arguments: Any) -> None:
    """A durable queue of the victim."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    await world.victim.call(amqp.QueueDeclare(name, durable=True, arguments=table))


@op
async def plain(world: World) -> None:
    """Publish, get, consume, ack, reject."""
    victim, second = world.victim, world.second
    await declare(world, "v.plain")
    for number in range(4):
        await victim.confirmed_publish("v.plain", b"plain %d" % number)
    for got in await victim.call(amqp.BasicGet("v.plain")):
        if isinstance(got.method, amqp.BasicGetOk) and got.body is not None:
            world.ledger.discard(got.body)
            await victim.call(amqp.BasicAck(got.method.delivery_tag))
    await victim.call(amqp.BasicGet("v.plain", True))
    world.ledger.discard(b"plain 1")
    await second.call(amqp.BasicQos(0, 1))
    await second.call(amqp.BasicConsume("v.plain", "tag"))
    await second.call(amqp.BasicNack(1, False, True))
    await second.call(amqp.BasicReject(2, True))
    await second.call(amqp.BasicConsume("v.plain", "other", no_ack=True))
    world.ledger -= {b"plain 2", b"plain 3"}
    await victim.call(amqp.BasicPublish("", "v.plain"), b"transient")
    await second.call(amqp.BasicCancel("other"))
    await second.call(amqp.ChannelClose(200, ""))


@op
async def letters(world: World) -> None:
    """Dead letters: rejected, expired, too many; at least once too."""
    victim = world.victim
    await declare(world, "v.dead")
    to_dead = {"x_dead_letter_exchange": longstr(""), "x_dead_letter_routing_key": longstr("v.dead")}
    await declare(world, "v.ttl", x_message_ttl=long(10), x_max_priority=long(1), **to_dead)
    await declare(world, "v.short", x_max_length=long(1), **to_dead)
    quorum = {"x_queue_type": longstr("quorum"), "x_overflow": longstr("reject-publish"), "x_max_length": long(2)}
    await declare(world, "v.sure", x_dead_letter_strategy=longstr("at-least-once"), **quorum, **to_dead)
    await victim.confirmed_publish("v.ttl", b"ttl 1")
    for number in range(2):
        await victim.confirmed_publish("v.short", b"short %d" % number)
        await victim.confirmed_publish("v.sure", b"sure %d" % number)
    await world.let_pass(50)
    for got in await victim.call(amqp.BasicGet("v.sure")):
        if isinstance(got.method, amqp.BasicGetOk):
            await victim.call(amqp.BasicReject(got.method.delivery_tag, False))
    await victim.call(amqp.BasicGet("v.sure"))
    await victim.call(amqp.BasicRecover(True))
    await world.let_pass(2500)


@op
async def exchanges(world: World) -> None:
    """Interceptors: delayed, deduplicated, remembered messages."""
    victim = world.victim
    await declare(world, "v.bound", x_max_length=long(3), x_overflow=longstr("reject-publish"))
    for name, kind, arguments in (
        ("v.delay", "x-delayed-message", {"x-delayed-type": longstr("fanout")}),
        ("v.never", "x-delayed-message", {"x-delayed-type": longstr("fanout")}),
        ("v.once", "x-message-deduplication", {"x-cache-size": long(10)}),
        ("v.history", "x-recent-history", {}),
    ):
        await victim.call(amqp.ExchangeDeclare(name, kind, durable=True, arguments=arguments))
        await victim.call(amqp.QueueBind("v.bound", name, "v.bound"))
    await victim.confirmed_publish("v.bound", b"late", "v.delay", headers={"x-delay": long(20)})
    header = {"x-deduplication-header": longstr("same")}
    if await victim.confirmed_publish("v.bound", b"once", "v.once", headers=header):
        await victim.confirmed_publish("v.bound", b"once", "v.once", headers=header)
    await world.let_pass(100)
    await victim.confirmed_publish("v.bound", b"old", "v.history")
    await declare(world, "v.bound2", x_message_deduplication=boolean(True))
    await victim.call(amqp.QueueBind("v.bound2", "v.history", ""))
    await world.let_pass(2500)
    await victim.confirmed_publish("v.bound2", b"only", headers={"x-deduplication-header": longstr("only")})
    world.ledger.discard(b"only")
    await victim.call(amqp.QueuePurge("v.bound2"))
    await victim.call(amqp.ExchangeDelete("v.history"))
    await victim.call(amqp.ExchangeDelete("v.once"))
    await victim.confirmed_publish("v.bound", b"never", "v.never", headers={"x-delay": long(1_000_000)})
    world.ledger.discard(b"never")
    await victim.call(amqp.ExchangeDelete("v.never"))


@op
async def transactions(world: World) -> None:
    """Commit and roll back."""
    second = world.second
    await declare(world, "v.tx")
    await second.call(amqp.TxSelect())
    second.publish("v.tx", b"committed")
    heard = await second.call(amqp.TxCommit())
    if any(isinstance(got.method, amqp.TxCommitOk) for got in heard):
        world.ledger.add(b"committed")
    await second.call(amqp.BasicGet("v.tx"))
    await second.call(amqp.BasicAck(1))
    await second.call(amqp.TxRollback())
    await second.call(amqp.BasicNack(1, False, True))
    await second.call(amqp.TxCommit())


@op
async def many(world: World) -> None:
    """Sweeps, purges, paging, and a queue that ends with its consumers."""
    victim, second = world.victim, world.second
    await declare(world, "v.many", x_max_priority=long(2), x_message_ttl=long(1_000_000))
    await declare(world, "v.large")
    world.broker.budget.limit = 300_000
    await _fill(world)
    for number in range(600):
        victim.publish("v.many", b"many %d" % number, priority=number % 3)
    await world.quiet()
    victim.hear()
    await second.call(amqp.BasicConsume("v.many", "tag"))
    await second.call(amqp.BasicNack(0, True, True))
    await second.call(amqp.BasicAck(0, True))
    await second.call(amqp.BasicCancel("tag"))
    for _ in range(3):
        await second.call(amqp.BasicGet("v.large", True))
    await second.call(amqp.QueuePurge("v.large"))
    await _fill(world)
    await second.call(amqp.BasicConsume("v.large", "large", no_ack=True))
    await second.call(amqp.QueuePurge("v.many"))
    await victim.call(amqp.QueueDelete("v.large"))
    await victim.call(amqp.QueueDelete("v.many"))
    world.broker.budget.limit = 1 << 60


@op
async def held(world: World) -> None:
    """Deliveries that wait for an ack, and replies that wait for their requester, in little memory."""
    victim, second = world.victim, world.second
    await declare(world, "v.held", x_queue_type=longstr("quorum"))
    for number in range(5):
        await victim.confirmed_publish("v.held", b"held %d" % number + bytes(1000))
    await second.call(amqp.BasicConsume("v.held", "tag"))
    world.broker.budget.limit = 3000
    await second.call(amqp.BasicQos(0, 0))
    await second.call(amqp.BasicNack(0, True, True))
    await second.call(amqp.BasicNack(0, True, True))
    world.broker.budget.limit = 1 << 60
    await second.call(amqp.BasicCancel("tag"))
    await declare(world, "v.ask")
    await victim.call(amqp.BasicConsume("amq.rabbitmq.reply-to", "held", no_ack=True))
    victim.publish("v.ask", b"ask", persistent=False, reply_to="amq.rabbitmq.reply-to")
    await world.quiet()
    for got in await second.call(amqp.BasicGet("v.ask", True)):
        if got.properties is not None:
            victim.protocol.pause_writing()
            second.publish(got.properties.reply_to or "", b"tell", persistent=False)
            await world.quiet()
            victim.protocol.resume_writing()
    await world.quiet()


async def _fill(world: World) -> None:
    """So much that most of it rests in the log."""
    for count in (1200, 300):
        for _ in range(count):
            world.victim.publish("v.large", bytes(1000), persistent=False)
        await world.quiet()


@op
async def waiting(world: World) -> None:
    """Alarms, paced publishers, timers of connections."""
    victim, second = world.victim, world.second
    await declare(world, "v.wait", x_expires=long(60_000))
    world.broker.alarms.set(DISK, True)
    victim.publish("v.wait", b"blocked", persistent=False)
    await world.quiet()
    world.broker.alarms.set(DISK, False)
    await world.quiet()
    await second.call(amqp.BasicQos(0, 1, True))
    await second.call(amqp.BasicConsume("v.wait", "tag"))
    await second.call(amqp.BasicQos(0, 5, True))
    for _ in range(5):
        for _ in range(700):
            victim.publish("v.wait", b"fast", persistent=False)
        await world.quiet()
    await second.call(amqp.BasicAck(0, True))
    await world.let_pass(31_000)
    await second.call(amqp.BasicAck(0, True))
    world.broker.consumer_timeout_ms = 1000
    await world.let_pass(62_000)
    await victim.call(amqp.QueueDelete("v.wait"))


@op
async def retries(world: World) -> None:
    """Messages that come back and have to wait."""
    delays = {"x_delayed_retry_type": longstr("all"), "x_delayed_retry_min": long(1000)}
    await declare(world, "v.retry", x_queue_type=longstr("quorum"), **delays)
    for number in range(6):
        world.victim.publish("v.retry", b"again %d" % number)
    await world.quiet()
    await world.second.call(amqp.BasicQos(0, 3, False))
    await world.second.call(amqp.BasicConsume("v.retry", "tag"))
    await world.second.call(amqp.BasicNack(0, True, True))
    await world.let_pass(1500)
    await world.second.call(amqp.BasicNack(0, True, True))
    await world.victim.call(amqp.QueuePurge("v.retry"))


async def override(world: World, name: str, overrides: dict[str, object]) -> None:
    """What an operator says of a queue, if it is there."""
    vhost = world.broker.vhosts["/"]
    queue = vhost.queues.get(name)
    if queue is not None:
        await world.administer(lambda: vhost.override(queue, overrides))


@op
async def detours(world: World) -> None:
    """Messages that are held, known already, too many or too fast, and a queue that is paused."""
    victim, second = world.victim, world.second
    settings = {"x_hold_until_header": longstr("due"), "x_deduplicate_by": longstr("message-id")}
    await declare(world, "v.held.until", x_consumer_order=longstr("least-loaded"), x_delivery_rate=long(50), **settings)
    await declare(world, "v.was.there")
    due = {"due": long(world.broker.clock.today_ms + 1000)}
    for number in range(3):
        name = f"message {number}"
        await victim.confirmed_publish("v.held.until", b"until %d" % number, headers=due, message_id=name)
        await victim.confirmed_publish("v.was.there", b"there %d" % number, headers=due)
    victim.publish("v.held.until", b"now", message_id="now")
    victim.publish("v.held.until", b"now", message_id="now")
    await world.quiet()
    await override(world, "v.was.there", {"hold-until-header": "due"})
    await second.call(amqp.BasicQos(0, 2))
    for name in ("v.was.there", "v.held.until"):
        await second.call(amqp.BasicGet(name))
    for name in ("v.was.there", "v.held.until"):
        await second.call(amqp.BasicConsume(name, name))
    for leap_ms in (-5000, 5000):
        today_ms = world.broker.clock.today_ms + leap_ms
        await world.administer(functools.partial(world.broker.look_at_clock, today_ms))
    await world.let_pass(1500)
    await second.call(amqp.BasicNack(0, True, True))
    await override(world, "v.was.there", {"paused": True})
    await world.let_pass(100)
    await victim.call(amqp.BasicGet("v.was.there"))
    await override(world, "v.was.there", {"max-length": 1})
    world.ledger -= {b"there 0", b"there 1", b"there 2"}
    await declare(world, "v.short.held", x_max_length=long(1), **settings)
    due = {"due": long(world.broker.clock.today_ms + 100_000)}
    for _ in range(2):
        victim.publish("v.short.held", b"short", headers=due)
    await world.quiet()
    await victim.call(amqp.QueuePurge("v.short.held"))
    victim.publish("v.held.until", b"dropped", headers=due)
    await world.quiet()
    held = world.broker.vhosts["/"].queues.get("v.held.until")
    if held is not None and held.detours.holding is not None:
        for each in held.detours.holding.page(0, 10):
            if each.entry.message.body() == b"dropped":
                await world.administer(functools.partial(held.drop_held, each.place))


@op
async def ends(world: World) -> None:
    """Connections, exclusive queues and virtual hosts end."""
    doomed = await Remote(world, "doomed").open()
    await doomed.call(amqp.QueueDeclare("v.kept", durable=True))
    await doomed.call(amqp.QueueDeclare("v.own", exclusive=True))
    await doomed.call(amqp.BasicConsume("v.own", "tag"))
    doomed.publish("v.own", b"1", persistent=False)
    doomed.publish("v.kept", b"2")
    await world.quiet()
    policy = Policy("v", "^v[.]", {"max-length": 100_000}, 1, "queues")
    await world.administer(lambda: world.broker.vhosts["/"].set_policy(policy))
    await world.administer(lambda: world.broker.vhosts["/"].delete_policy("v"))
    await world.administer(lambda: world.broker.delete_vhost("doomed"))
    await world.administer(lambda: world.broker.add_vhost("another"))
    doomed.protocol.connection_lost(None)
    await world.second.call(amqp.ConnectionClose(200, "bye"))
    await world.quiet()


@op
async def replies(world: World) -> None:
    """A remote call of the victim to itself, and a queue that ends under a consumer."""
    victim, second = world.victim, world.second
    await victim.call(amqp.BasicConsume("amq.rabbitmq.reply-to", "replies", no_ack=True))
    await second.call(amqp.QueueDeclare("v.rpc"))
    await second.call(amqp.BasicConsume("v.rpc", "rpc", no_ack=True))
    victim.publish("v.rpc", b"question", persistent=False, reply_to="amq.rabbitmq.reply-to")
    await world.quiet()
    for got in second.hear():
        if isinstance(got.method, amqp.BasicDeliver) and got.properties is not None:
            second.publish(got.properties.reply_to or "", b"answer", persistent=False)
    await world.quiet()
    await victim.call(amqp.QueueDelete("v.rpc"))


@op
async def pace(world: World) -> None:
    """A publisher that is too fast waits for a consumer."""
    victim, second = world.victim, world.second
    await declare(world, "v.flow_control")
    await second.call(amqp.BasicQos(0, 1000))
    await second.call(amqp.BasicConsume("v.flow_control", "tag"))
    for _ in range(4100):
        victim.publish("v.flow_control", b"fast", persistent=False)
    for _ in range(4):
        second.send(amqp.BasicAck(0, True))
    await world.quiet()
    second.protocol.data_received(encode(1, amqp.BasicPublish("", "v.flow_control"), b"fast") * 5000)
    await world.quiet()


@op
async def disk(world: World) -> None:
    """The disk fails once."""

    def fail(group: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    await declare(world, "v.disk")
    kind = "x-message-deduplication"
    await world.victim.call(amqp.ExchangeDeclare("v.seen", kind, durable=True, arguments={"x-cache-size": long(10)}))
    world.log._store.write = fail  # type: ignore[method-assign]
    await world.victim.confirmed_publish("v.disk", b"refused")
    del world.log._store.write
    world.log.try_again()
    await world.victim.confirmed_publish("v.disk", b"taken")


@op
async def front(world: World) -> None:
    """A message is put in front of the others of the victim's queue, which come, go, expire and come back."""
    await declare(world, "v.front", x_message_ttl=long(1_000))
    for body in (b"1", b"2", b"in front"):
        world.victim.publish("v.front", body)
    await world.quiet()
    queue = world.broker.vhosts["/"].queues.get("v.front")
    if queue is not None and len(queue.ready):
        queue.put_in_front(queue.ready.items()[-1])
    world.victim.publish("v.front", b"4")
    for tag in (1, 2):
        await world.victim.call(amqp.BasicGet("v.front"))
        await world.victim.call(amqp.BasicReject(tag, True))
    await world.victim.call(amqp.BasicGet("v.front", no_ack=True))
    await world.victim.call(amqp.BasicConsume("v.front", "c"))
    await world.victim.call(amqp.BasicCancel("c"))
    world.victim.publish("v.front", b"5")
    await world.let_pass(1_500)


@op
async def watched(world: World) -> None:
    """An observer in the victim's virtual host holds confirms, and follows messages; then there are two."""
    await declare(world, "v.seen")
    await declare(world, "v.none", x_max_length=long(0), x_overflow=longstr("reject-publish"))
    vhost = world.broker.vhosts["/"]
    observer, other = Observing(), Observing()
    vhost.watch(True, observer)
    world.victim.publish("v.seen", b"seen")
    world.victim.publish("v.seen", b"followed, confirmed later")
    world.victim.publish("v.seen", b"followed, confirmed at once", persistent=False)
    world.victim.publish("v.none", b"followed, refused")
    world.victim.publish("v.nobody", b"followed, nothing to confirm")
    await world.victim.call(amqp.BasicGet("v.seen"))
    await world.victim.call(amqp.BasicAck(1))
    vhost.join(other)
    world.victim.publish("v.seen", b"seen by two")
    world.victim.publish("v.seen", b"followed by one of two")
    await world.victim.call(amqp.BasicGet("v.seen"))
    await world.victim.call(amqp.BasicReject(2, False))
    for confirm in observer.held:
        confirm.pay()
    vhost.leave(other)
    vhost.watch(False, None)
    await world.quiet()


async def run(number: int | None, chosen: Op) -> World:
    """Let the victim do something while a point is armed, and judge."""
    with tempfile.TemporaryDirectory(prefix="leveret-injecting-") as folder:
        world = World(Path(folder, "data"))
        await world.begin()
        PASSED.clear()
        if number is not None:
            ARMED[:] = [number]
        try:
            await chosen(world)
        except Injected as error:
            world.wrong.append(f"it came out of the broker: {error}")
        if ARMED:
            world.wrong.append("this time nothing led to the point")
        ARMED.clear()
        passed = set(PASSED)
        await world.ask_canaries()
        await world.repair()
        await world.ask_canaries()
        world.stop()
        shutil.copytree(world.directory, Path(folder, "copy"))
        world.look_for_losses(Path(folder, "copy"))
        PASSED.clear()
        PASSED.update(passed)
        return world


async def explore() -> dict[int, list[Op]]:
    """Which points are passed in what the victim does."""
    leads: dict[int, list[Op]] = {}
    for each in OPS:
        world = await run(None, each)
        if world.wrong:
            raise SystemExit(f"{each.__name__} without a fault: {world.wrong}")
        for number in PASSED:
            leads.setdefault(number, []).append(each)
    return leads


def chosen_points(names: Sequence[str]) -> Iterator[int]:
    """The points to try."""
    for number, point in enumerate(POINTS):
        if not names or any(name in point.text for name in names):
            yield number


async def main() -> int:
    """Try all points, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("point", nargs="*", help="a part of what a point is called")
    parser.add_argument("--seed", type=int, default=0, help="which of the ways that lead to a point is taken")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    leads = await explore()
    for number in chosen_points(arguments.point):
        ways = leads.get(number, [])
        outcome: dict[str, object] = {"point": POINTS[number].text, "ways": [way.__name__ for way in ways], "wrong": []}
        if ways:
            world = await run(number, chance.choice(ways))
            outcome["wrong"] = world.wrong
            outcome["closed"] = world.victim.closed() + world.second.closed()
        print(json.dumps(outcome), flush=True)
    return 0


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    raise SystemExit(asyncio.run(main()))
