"""Node: one broker with its log, event loop and sockets, from start to clean shutdown."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.auth.attempts import AMQP, HTTP, Attempts, CountingAuthenticator
from leveret.auth.authenticator import Authenticator
from leveret.auth.internal import InternalAuthenticator
from leveret.auth.operator import Operator
from leveret.auth.passwords import ARGON2, fits, is_too_dear
from leveret.core import broker as core
from leveret.core.message.log import Unreadable
from leveret.core.queue.client import Observer
from leveret.core.queue.observers import Observers
from leveret.core.turn.clock import Clock
from leveret.node import control_path
from leveret.node.api import Api, PortError, listen_error, places_for
from leveret.node.config import Config
from leveret.node.defaults import DEFAULT_USER, drop_defaults, make_defaults
from leveret.node.errors import StartError
from leveret.node.monitors.clock import ClockMonitor
from leveret.node.monitors.database import DatabaseMonitor
from leveret.node.monitors.disk import DiskMonitor, give_up_reserve
from leveret.node.monitors.loop_lag import LagMonitor
from leveret.node.monitors.memory import MemoryMonitor, total_memory
from leveret.node.monitors.monitor import Monitor
from leveret.node.tracing import trace
from leveret.node.trust import Untrusted, claim
from leveret.server.control_socket import ControlSocket
from leveret.server.driver import Driver
from leveret.server.guests import Guests
from leveret.server.listener import Listener
from leveret.server.openings import OPENINGS
from leveret.server.performer import Performer
from leveret.server.transport import ClientProtocol
from leveret.store.memory import MemoryLog

if TYPE_CHECKING:
    import ssl

    from leveret.cluster.joining import Joined
    from leveret.management.recording import Recording
    from leveret.node.clustering import Clustering
    from leveret.store.chunk_log import ChunkLog
    from leveret.telemetry.telemetry import Telemetry

BUDGET_SHARE = 0.25  # of all memory, for queued messages
DEFAULT_BUDGET = 256 << 20  # bytes, if the system does not report its memory
BACKLOG = 1024  # connections that the kernel may queue
TLS_PORT = 5671
OWN_FILES = 100  # file descriptors for the broker itself, besides the sockets of clients
MANY_FILES = 1 << 20
SHUTDOWN_S = 2.0

log = logging.getLogger("leveret.node")


def is_compiled() -> bool:
    """Whether the performance-critical modules run as compiled code."""
    return not str(core.__file__).endswith(".py")


def build_name() -> str:
    """compiled or interpreted."""
    return "compiled" if is_compiled() else "interpreted"


class Node:
    """One node. Use: await start(), wait as long as it should run, await stop(). Raises: StartError, StoreError.

    on_replaced: called when another node of the cluster has taken over; this one has to stop. was_replaced: whether
    that has happened.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self.on_replaced: Callable[[], None] = _do_nothing
        self.was_replaced = False
        self._context = _make_context(config)
        self._directory = None if config.memory or config.cluster else Path(config.data_dir)
        if self._directory is not None and not config.trust_data_dir:
            _claim(self._directory)
        self._joined: Joined | None = None
        self._log = self.make_log(config)
        clock = Clock(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)
        name = f"leveret@{config.node or socket.gethostname()}"
        self.broker = core.Broker(self._log, self._log, clock, self.make_seed(), name)
        self.broker.max_message_size = config.max_message_size
        self.broker.consumer_timeout_ms = config.consumer_timeout_ms
        self.broker.max_connections = config.max_connections
        self.broker.max_channels = config.max_channels
        self.broker.max_consumers_per_channel = config.max_consumers_per_channel
        self._log.listener = self.broker.news
        self.driver = Driver(self.broker, self._loop)
        self.authenticator = self.make_authenticator(config)
        self.attempts = {HTTP: Attempts(), AMQP: Attempts()}
        most = config.max_unauthenticated_connections
        files = open_files()
        places = places_for(
            files
        )  # reserved for HTTP clients, so that AMQP and HTTP clients cannot crowd out each other
        self._guests = Guests(self.make_protocol, most, max(files - OWN_FILES - places, files // 2))
        self._listener = Listener(self._guests)
        self._tls_listener = Listener(self._guests, self._context)
        self._store_monitor: DiskMonitor | DatabaseMonitor | None = None
        self._stored = None if isinstance(self._log, MemoryLog) else self._log
        self._clustering: Clustering | None = None
        if self._joined is not None and not config.standby:
            self._clustering = self._share(self._joined)
        if self._stored is not None:
            self._store_monitor = self._watch_store(self._stored)
            self.broker.budget.limit = config.memory_budget or int(total_memory() * BUDGET_SHARE) or DEFAULT_BUDGET
        self._monitors = self.make_monitors(config)
        self._performer = Performer(self.driver, self._perform, _is_persisted, _load_management)
        self._operator = Operator(self.broker)
        self._operators = 0  # AMQP clients of the control socket so far
        self._api = Api(
            config,
            self.broker,
            self.driver,
            self._performer,
            self.logins,
            self.attempts,
            self._operator,
            self._context,
            files,
            places,
            None if self._stored is None else self._stored.counters,
        )
        self._control = ControlSocket(self.driver, self._performer, self._api.ask, self._make_local)
        self._control_path: Path | None = None
        self._recording: Recording | None = None
        self._telemetry: Telemetry | None = None

    def make_log(self, config: Config) -> MemoryLog | ChunkLog:
        """The log that stores messages and definitions. Raises: StoreError."""
        if config.memory:
            return MemoryLog()
        if config.cluster:
            return self._join_cluster(config)
        return _open_log(Path(config.data_dir), self._wake)

    def _join_cluster(self, config: Config) -> ChunkLog:
        """The log in the database of a cluster. Raises: StartError, StoreError."""
        try:
            from leveret.cluster.joining import enter, join_alone
        except ImportError as error:
            raise StartError(
                f"--cluster requires the extra cluster ({error}): pip install 'leveret[cluster]'"
            ) from None
        from leveret.store.chunk_log import ChunkLog

        place = config.cluster, config.cluster_password_file, config.node or socket.gethostname()
        if config.standby:
            self._joined = join_alone(*place, self._tell_replaced, waits=True)
        else:
            self._joined = enter(*place, self._tell_replaced)
        return ChunkLog(self._joined.store, self._wake)

    def _share(self, joined: Joined) -> Clustering:
        """The part of this node that shares queues with other nodes."""
        from leveret.node.clustering import Clustering

        assert self._stored is not None
        return Clustering(joined, self._stored, self.broker, self.driver)

    def _watch_store(self, stored: ChunkLog) -> DiskMonitor | DatabaseMonitor:
        if self._joined is not None:
            return DatabaseMonitor(self.driver, stored, self._joined.member)
        assert self._directory is not None
        return DiskMonitor(self.driver, stored, self._directory, self._config.disk_free_limit)

    def make_seed(self) -> int | None:
        """The seed for generated names; None for unpredictable names."""
        return None

    def make_authenticator(self, config: Config) -> Authenticator:
        """The authenticator of clients."""
        return InternalAuthenticator(self.broker.users, config.loopback_users)

    def make_monitors(self, config: Config) -> list[Monitor]:
        """The monitors of the process and the machine."""
        return [
            MemoryMonitor(self.driver, config.memory_high_watermark),
            ClockMonitor(self.driver),
            LagMonitor(self.driver),
        ]

    def make_protocol(self) -> ClientProtocol:
        """The protocol object for a new client."""
        return ClientProtocol(self.driver, self.logins(AMQP), OPENINGS)

    def logins(self, protocol: str) -> Authenticator:
        """The authenticator for clients of this protocol. It counts attempts."""
        return CountingAuthenticator(self.authenticator, self.attempts[protocol])

    def _make_local(self) -> ClientProtocol:
        """The protocol object for an AMQP client of the control socket."""
        self._operators += 1
        return ClientProtocol(self.driver, self._operator, OPENINGS, f"control socket {self._operators}")

    async def start(self) -> list[str]:
        """Recover and listen. Returns: the URL, and the URL for TLS if there is one. Raises: StartError."""
        try:
            self.broker.recover()
        except BaseException as error:
            self._log.close()
            if isinstance(error, Unreadable):
                raise StartError(f"cannot start: {error}; no data is lost, try again") from None
            raise
        self._tell_of_dear_passwords()
        is_new = make_defaults(self.broker)
        if self._clustering is not None:
            self._clustering.begin()
        self.driver.turn()  # process what expired meanwhile
        if self._store_monitor is not None:
            self._store_monitor.start()
        config = self._config
        try:
            self._watch(config)
            content = self.read_definitions(config)
            if content is not None:
                self._define(content, config.definitions or "given")
                if is_new:
                    drop_defaults(self.broker, content)
            self.listen(config.port, TLS_PORT if config.tls_port is None else config.tls_port)
            urls = [_url("amqp", *self._listener.address)]
            if self._context is not None:
                urls.append(_url("amqps", *self._tls_listener.address))
            self._listen_for_http()
            await self._open_control()
        except StartError:
            self._release()
            raise
        self.driver.turn()
        for monitor in self._monitors:
            monitor.start()
        self.driver.limit_sending(config.send_timeout_ms / 1000)
        self._api.begin()
        return urls

    @property
    def api_url(self) -> str:
        """The URL of the HTTP API, empty without one."""
        return self._api.url

    @property
    def api_port(self) -> int | None:
        """The port of the HTTP API, None without one."""
        return self._api.port

    def _listen_for_http(self) -> None:
        """Open the ports of the HTTP API. Raises: StartError."""
        for listener, protocol in ((self._listener, "amqp"), (self._tls_listener, "amqp/ssl")):
            if listener.is_open:
                self._api.add_port(protocol, *listener.address)
        try:
            self._api.listen()
        except PortError as error:
            raise StartError(str(error)) from None

    @property
    def has_default_user(self) -> bool:
        """Whether anyone can log in as guest with the password guest, at least from this machine."""
        user = self.broker.users.get(DEFAULT_USER)
        return user is not None and fits(user.credential, DEFAULT_USER)

    def _tell_of_dear_passwords(self) -> None:
        for user in self.broker.users:
            if user.credential.algorithm == ARGON2 and is_too_dear(user.credential.hash):
                text = "its password hash takes too much time or memory to check, so the user cannot log in"
                log.warning("user '%s': %s; set a new password with `leveret users password`", user.name, text)

    def listen(self, port: int, tls_port: int) -> None:
        """Listen on these ports, on the second one only if there is a certificate. Raises: StartError."""
        ports = [(self._listener, "port", port)]
        if self._context is not None:
            ports.append((self._tls_listener, "tls-port", tls_port))
        for listener, option, wanted in ports:
            try:
                listener.listen(self._config.host, wanted, BACKLOG)
            except (OSError, UnicodeError) as error:
                raise StartError(listen_error(self._config.host, wanted, option, error)) from None

    def reload(self) -> None:
        """Reload the TLS files, if there are any."""
        if self._context is None:
            log.warning("nothing to reload: this broker does not listen for TLS; SIGTERM stops it")
            return
        from leveret.node.tls import reload

        reload([self._tls_listener, *self._api.listeners], self._config)

    async def stop(self, patience_s: float = SHUTDOWN_S) -> None:
        """Close connections with 320, commit pending changes, release all resources.

        patience_s: seconds that clients may take to answer. A failure of one step is logged; the other steps follow.
        """
        _attempt("stop listening", self.stop_listening)
        try:
            await self.driver.shut_down("broker forced connection closure with reason 'shutdown'", patience_s)
        except Exception as error:
            _report("close the connections", error)
        self._release()

    def stop_listening(self) -> None:
        """Refuse new clients; existing ones stay connected."""
        self._listener.close()
        self._tls_listener.close()
        self._guests.close()

    def _release(self) -> None:
        """Release everything. A failure of one step is logged; the other steps follow, so that the log is closed."""
        _attempt("stop listening", self.stop_listening)
        _attempt("close the control socket", self._control.close)
        _attempt("close the HTTP API", self._api.close)
        if self._store_monitor is not None:
            _attempt("stop the monitor of the store", self._store_monitor.stop)
        for monitor in self._monitors:
            _attempt(f"stop the {type(monitor).__name__}", monitor.stop)
        if self._control_path is not None:
            _attempt("remove the control socket", partial(control_path.unbind, self._control_path, self._directory))
        _attempt("finish the background jobs", self.broker.finish)
        if self._clustering is not None:
            _attempt("stop following the cluster", self._clustering.close)
        _attempt("close the log", self._log.close)
        if self._recording is not None:
            _attempt("close the recording", self._recording.close)
        if self._telemetry is not None:
            _attempt("close the telemetry", self._telemetry.close)

    async def _open_control(self) -> None:
        """Open the control socket. Raises: StartError if --control is set and it cannot be opened."""
        if self._directory is None and not self._config.control:
            return
        try:
            listener, self._control_path = control_path.bind(self._config.control, self._directory)
        except control_path.ControlError as error:
            if self._config.control:
                raise StartError(str(error)) from None
            log.warning("%s; commands can reach the data only while the broker is stopped", error)
            return
        await self._control.start(listener)

    def _perform(self, verb: str, arguments: dict[str, object]) -> object:
        from leveret.management.administration import Administration

        return Administration(self.broker).perform(verb, arguments)

    def read_definitions(self, config: Config) -> dict[str, object] | None:
        """The definitions to import at the start, or None. Raises: StartError."""
        if not config.definitions:
            return None
        from leveret.node.definitions_file import FileError, read

        try:
            return read(Path(config.definitions))
        except FileError as error:
            raise StartError(str(error)) from None

    def definitions_vhost(self) -> str | None:
        """The virtual host for entries that name none; None if they must name one."""
        return None

    def _watch(self, config: Config) -> None:
        """Attach recording and telemetry to the broker, if configured. Raises: StartError."""
        if config.record:
            self._recording = _record(Path(config.record), self.broker)
            self.broker.let_watch(self._recording)
        if config.otlp_endpoint:
            self._telemetry = trace(config, self.broker)
        if self._telemetry is not None:
            observer: Observer = self._telemetry.observer
            if self._recording is not None:
                observer = Observers([self._recording, observer], self.broker.faults)
            self.broker.let_watch(observer)
            self._api.around = self._telemetry.around

    def _define(self, content: dict[str, object], name: str) -> None:
        """Import definitions, all or nothing. name: of their file. Raises: StartError."""
        from leveret.management.jobs import complete

        arguments: dict[str, object] = {"content": content, "vhost": self.definitions_vhost(), "atomic": True}
        result = complete(self.broker, self._perform("import_definitions", arguments))
        assert isinstance(result, dict)
        for note in result["notes"]:
            log.warning("definitions file %s: %s: %s", name, note["path"], note["reason"])
        errors = result["errors"]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            first = f"{errors[0]['path']}: {errors[0]['reason']}"
            raise StartError(f"definitions file {name}: {first}{more}; correct it or start without --definitions")

    def _wake(self) -> None:
        """Called in the committer's thread."""
        self._loop.call_soon_threadsafe(self._committed)

    def _tell_replaced(self, reason: str) -> None:
        """Called in another thread when another node has taken over the database."""
        self._loop.call_soon_threadsafe(self._replaced, reason)

    def _replaced(self, reason: str) -> None:
        log.error("this node stops: %s", reason)
        self.was_replaced = True
        self.on_replaced()

    def _committed(self) -> None:
        assert self._stored is not None
        self.driver.refresh_clock()
        self._stored.on_committed()
        if self._store_monitor is not None:
            self._store_monitor.committed()
        self.driver.turn()


def _claim(directory: Path) -> None:
    """Make sure that no other user can write to the data directory. Raises: StartError."""
    try:
        claim(directory)
    except Untrusted as error:
        advice = "start the broker as that user" if error.is_foreign else "change that with chmod"
        raise StartError(f"{error}; {advice}, choose another directory, or use --trust-data-dir") from None


def _open_log(directory: Path, wake: Callable[[], None]) -> ChunkLog:
    """The log of a data directory. On a full disk, it gets the reserved space. Raises: StoreError."""
    from leveret.store.chunk_log import ChunkLog  # not needed in memory
    from leveret.store.chunk_store import StoreError
    from leveret.store.rescue.salvage import open_database

    try:
        return ChunkLog(open_database(directory), wake)
    except StoreError as error:
        if "full" not in str(error) or not give_up_reserve(directory):
            raise
        return ChunkLog(open_database(directory), wake)


def _do_nothing() -> None:
    pass


def _attempt(what: str, step: Callable[[], None]) -> None:
    """Take a step of the end. what: follows `cannot`. A failure is logged in one line."""
    try:
        step()
    except Exception as error:
        _report(what, error)


def _report(what: str, error: Exception) -> None:
    if isinstance(error, control_path.ControlError):
        log.warning("%s; the next start replaces it", error)
    else:
        log.error("while stopping, cannot %s: %s", what, str(error) or type(error).__name__)


def _is_persisted(verb: str) -> bool:
    """Whether the changes of a verb are stored in the data directory."""
    from leveret.management.administration import is_persisted

    return is_persisted(verb)


def _record(path: Path, broker: core.Broker) -> Recording:
    """The recording of all events. Raises: StartError."""
    from leveret.management.recording import Recording

    try:
        return Recording(path, broker)
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}; check --record") from None


def _load_management() -> None:
    """Import the code of the verbs. A broker loads it only when needed."""
    import leveret.management.administration  # noqa: F401


def open_files() -> int:
    """The number of files and sockets that this process may have open."""
    try:
        import resource
    except ImportError:
        return MANY_FILES  # not available on this platform
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY_FILES if soft == resource.RLIM_INFINITY else soft


def _make_context(config: Config) -> ssl.SSLContext | None:
    """The TLS context, if TLS is configured. Raises: StartError."""
    if not config.tls_certificate:
        return None
    from leveret.node.tls import TlsError, make_context

    try:
        return make_context(config)
    except TlsError as error:
        raise StartError(str(error)) from None


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
