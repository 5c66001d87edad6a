"""Server: one embedded broker over its whole lifetime, including restarts. Everything here runs on its event loop,
except call() and run(), which any thread can use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from leveret.core.broker import Broker as CoreBroker
from leveret.core.errors.administration import AdministrationError
from leveret.core.turn.clock import Timed
from leveret.core.vhost import VirtualHost as CoreVirtualHost
from leveret.node.config import Config
from leveret.node.errors import StartError
from leveret.node.kinds import OFF_PORT
from leveret.node.loading import ConfigError, check_setting
from leveret.store.memory import Kept
from leveret.testing.faults import Fault
from leveret.testing.node import EmbeddedNode
from leveret.testing.publishes import Publishes

__tracebackhide__ = True  # so that pytest shows the line of the test
T = TypeVar("T")

GUEST = "guest"  # and its password
STEP_S = 0.05  # after which a wait checks for a restarted node

log = logging.getLogger("leveret.testing")


class NotRunning(Exception):
    """The broker was not started, or was stopped."""


@dataclass(frozen=True)
class Options:
    """The options of a broker. See testing/broker.py."""

    host: str = "127.0.0.1"
    port: int = 0
    users: Mapping[str, str] = field(default_factory=dict)
    definitions: Path | Mapping[str, object] | None = None
    data_dir: Path | None = None
    tls: bool = False
    seed: int = 0
    record: Path | None = None
    max_message_size: int | None = None
    management: bool = False


class _Later(Timed):
    """A call at a time of the broker's clock."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    def on_timer(self, token: int) -> None:
        """See Timed."""
        self._function()

    def fail(self, doing: str, error: Exception) -> None:
        """See Timed."""
        log.error("cannot %s", doing, exc_info=error)


class Server(ABC):
    """One broker. port: its port once started; it stays the same. faults: lasting faults by virtual host. switches:
    number of active requests for each switchable fault of this node. chance: the random generator for the seed.
    """

    node: EmbeddedNode

    def __init__(self, options: Options) -> None:
        self.options = options
        self.port = options.port
        self.tls_port: int | None = None
        self.management_port: int | None = None
        self.ca_file: Path | None = None
        self.publishes = Publishes()
        self.faults: dict[str, list[Fault]] = {}
        self.switches: Counter[str] = Counter()
        self.chance = random.Random(options.seed)
        self.is_running = False
        self._kept = Kept()
        self._skipped_ms = 0
        self._scratch = contextlib.ExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- access to its event loop

    @abstractmethod
    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the event loop. Its effects in the broker are complete when this returns."""

    @abstractmethod
    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop, and await it in any event loop."""

    def _called(self, function: Callable[[], T]) -> T:
        """Call a function, on the event loop. Raises: NotRunning."""
        self.check_running()
        driver = self.node.driver
        driver.refresh_clock()
        try:
            return function()
        finally:
            driver.turn()

    def check_running(self) -> None:
        """Raises: NotRunning."""
        if not self.is_running:
            raise NotRunning("the broker is not running; start it with `with` or start()")

    async def until(self, is_done: Callable[[], bool]) -> None:
        """Wait until is_done() is true, also across restarts. Checks after each turn. Raises: what it raises."""
        while True:
            if not self.is_running:
                await asyncio.sleep(STEP_S)
            elif is_done():
                return
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.node.driver.until(is_done), STEP_S)

    # -- start and stop

    async def start(self) -> None:
        """Start the broker. Raises: StartError, StoreError."""
        if self.is_running:
            return
        if self.options.tls and self.ca_file is None:
            from leveret.testing.certificate import Certificate

            self._certificate = Certificate(self._scratch)
            self.ca_file = self._certificate.ca_file
        await self._start_node()

    async def _start_node(self) -> None:
        options = self.options
        try:
            check_setting("port", options.port)
            if options.max_message_size is not None:
                check_setting("max-message-size", options.max_message_size)
        except ConfigError as error:
            raise StartError(str(error)) from None
        tls: dict[str, Any] = {}
        if self.ca_file is not None:
            tls = {"tls_port": self.tls_port or 0, "tls_certificate": str(self._certificate.file)}
        config = Config(
            host=options.host,
            port=self.port,
            memory=options.data_dir is None,
            max_message_size=options.max_message_size or Config().max_message_size,
            data_dir=str(options.data_dir or ""),
            trust_data_dir=True,  # a test names its data directory, which may be below a shared one
            management_port=(self.management_port or 0) if options.management else OFF_PORT,
            loopback_users=(),
            memory_high_watermark=0,
            disk_free_limit=0,
            send_timeout_ms=0,  # a client stopped in a debugger stays connected
            definitions=str(options.definitions) if isinstance(options.definitions, Path) else "",
            **tls,
        )
        users = options.users or {GUEST: GUEST}
        definitions = None if isinstance(options.definitions, Path) else options.definitions
        self.node = EmbeddedNode(config, self._kept, options.seed, users, definitions, self._skipped_ms)
        urls = await self.node.start()
        self.port = urlsplit(urls[0]).port or 0
        if len(urls) > 1:
            self.tls_port = urlsplit(urls[1]).port
        self.management_port = self.node.api_port
        self.switches = Counter()
        if "/" not in self.broker.vhosts:  # the definitions define other virtual hosts
            self.broker.add_vhost("/")
        self.node.make_users()
        self.broker.let_watch(self.publishes)
        for recording in self.publishes.recordings:
            recording.follow(self.broker)
        if options.record is not None and not self.publishes.recordings:
            self.record(options.record, None)
        self.is_running = True

    async def stop(self, is_clean: bool = True) -> None:
        """Stop the broker without waiting for clients. is_clean: close connections; else as if it was killed."""
        if not self.is_running:
            return
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stop_node(is_clean)
        for recording in self.publishes.recordings:
            recording.close()
        self.publishes.recordings.clear()
        self._scratch.close()
        self.ca_file = None
        self.publishes.clear()
        self._kept = Kept()
        self._skipped_ms = 0

    async def _stop_node(self, is_clean: bool) -> None:
        self.is_running = False
        node = self.node
        node.driver.freeze(False)
        self._skipped_ms = node.driver.skipped_ms
        if not is_clean:
            for protocol in node.protocols():
                protocol.abort()
        await node.stop(0.0)
        await asyncio.sleep(0)  # lets sockets close

    async def restart(self, keep_data: bool, is_clean: bool) -> None:
        """Stop the broker and start it on the same port. keep_data: keep durable data. Raises: NotRunning."""
        self.check_running()
        vhosts = list(self.node.broker.vhosts)
        await self._stop_node(is_clean)
        if not keep_data:
            self._kept = Kept()
            if self.options.data_dir is not None:
                for path in self.options.data_dir.glob("leveret.db*"):
                    path.unlink()
        await self._start_node()
        for vhost in vhosts:
            self.add_vhost(vhost)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task until the broker stops, also across restarts."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function after this time on the broker's clock."""
        broker = self.node.broker
        broker.timers.call_at(broker.clock.now_ms + int(seconds * 1000), _Later(function))

    # -- addresses

    def url(self, vhost: str, is_tls: bool = False) -> str:
        """The URL for clients. Raises: NotRunning, if there is no such port."""
        port = self.tls_port if is_tls else self.port
        if not port:
            raise NotRunning("the broker has no such port: start it first, for TLS with tls=True")
        user, password = next(iter(self.options.users.items()), (GUEST, GUEST))
        scheme = "amqps" if is_tls else "amqp"
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        path = "" if vhost == "/" else f"/{quote(vhost, safe='')}"  # some clients read a final / as an empty name
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}{path}"

    # -- virtual hosts

    @property
    def broker(self) -> CoreBroker:
        """The core's broker; a different one after a restart."""
        return self.node.broker

    def vhost(self, name: str) -> CoreVirtualHost:
        """A virtual host. Raises: LookupError."""
        found = self.broker.vhosts.get(name)
        if found is None:
            raise LookupError(f"virtual host '{name}' no longer exists")
        return found

    def add_vhost(self, name: str) -> None:
        """Create a virtual host with permissions for all users, if it does not exist."""
        if name not in self.broker.vhosts:
            self.broker.add_vhost(name)
            self.node.permit(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host and everything in it, and drop its connections."""
        if name not in self.broker.vhosts:
            return
        for fault in self.faults.pop(name, []):
            fault.end()
        for protocol in self.node.protocols():
            if protocol.connection.vhost.name == name:
                protocol.drop()
        with contextlib.suppress(AdministrationError):
            self.broker.delete_vhost(name)
        self.broker.finish()
        self.publishes.forget(name)

    def record(self, path: Path, vhost: str | None) -> Callable[[], None]:
        """Start recording events of one or all virtual hosts. Returns: a function that ends it. Raises: OSError."""
        from leveret.management.recording import Recording

        recording = Recording(path, self.broker, vhost)
        self.publishes.recordings.append(recording)

        def end() -> None:
            recording.close()
            if recording in self.publishes.recordings:
                self.publishes.recordings.remove(recording)

        return end

    def resume_listening(self) -> None:
        """Accept new clients again, on the same ports."""
        self.node.listen(self.port, self.tls_port or 0)

    def is_idle(self, vhost: str) -> bool:
        """Whether a virtual host is idle.

        No message is waiting for a consumer or unacknowledged, no confirm is pending, and there is no data to send.
        """
        node = self.node
        found = self.vhost(vhost)
        if node.broker.is_busy() or node.broker.awake:
            return False
        if any(queue.unacked or (len(queue.ready) and queue.consumers.all) for queue in found.queues.values()):
            return False
        return not any(
            protocol.connection.vhost is found and protocol.is_sending for protocol in node.protocols()
        ) and not any(
            channel.publishing.unconfirmed
            for protocol in node.protocols()
            if protocol.connection.vhost is found
            for channel in protocol.connection.channels.values()
        )
