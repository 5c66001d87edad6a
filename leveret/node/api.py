"""Api: the HTTP API of a node. Its ports open before the node is ready; its code is loaded afterwards.

Local commands reach it through the control socket. Without ports, the first such request loads the code.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from leveret.auth.attempts import HTTP, Attempts
from leveret.auth.authenticator import Authenticator
from leveret.auth.operator import Operator
from leveret.core.broker import Broker
from leveret.core.counting.disk import DiskCounters
from leveret.node.config import Config
from leveret.node.kinds import OFF_PORT
from leveret.node.monitors.memory import total_memory
from leveret.server.driver import Driver
from leveret.server.listener import Listener
from leveret.server.performer import Performer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from leveret.api.local import LocalApi
    from leveret.api.server import HttpServer
    from leveret.api.services import Services

API_PORT: Final = 15672
BACKLOG: Final = 256
MOST_CLIENTS: Final = 1000  # HTTP clients at once
FILES_SHARE: Final = 8  # HTTP clients may use 1/8 of the process's file descriptors

log = logging.getLogger("leveret.node")


class PortError(Exception):
    """A requested port is not available. The text says why, and what to do."""


def places_for(files: int) -> int:
    """The maximum number of HTTP clients. files: file descriptors of the process; AMQP clients get the others."""
    return min(MOST_CLIENTS, files // FILES_SHARE)


class Port:
    """An HTTP port. Clients that connect before begin() wait in the backlog. server: set before begin()."""

    def __init__(self, context: ssl.SSLContext | None, is_metrics: bool) -> None:
        self.listener = Listener(self, context)
        self.is_metrics = is_metrics
        self.server: HttpServer | None = None

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Serve a client."""
        assert self.server is not None
        self.server.welcome(raw, host, name, context)


class Api:
    """The HTTP API of one node. url: its address, empty without ports. places: maximum number of clients.

    logins: makes the authenticator for a protocol, which counts in attempts. around: wraps the application; set before
    begin().
    """

    def __init__(
        self,
        config: Config,
        broker: Broker,
        driver: Driver,
        performer: Performer,
        logins: Callable[[str], Authenticator],
        attempts: dict[str, Attempts],
        operator: Operator,
        context: ssl.SSLContext | None,
        max_files: int,
        places: int,
        disk: DiskCounters | None,
    ) -> None:
        self.url = ""
        self.around: Callable[[ASGIApp], ASGIApp] | None = None
        self._max_files = max_files
        self._disk = disk
        self._config = config
        self._broker = broker
        self._driver = driver
        self._performer = performer
        self._logins = logins
        self._attempts = attempts
        self._context = context
        self._places = places
        self._open_ports: list[Port] = []
        self._ports: list[tuple[str, str, int]] = []  # including those of AMQP
        self._task: asyncio.Task[None] | None = None
        self._services: Services | None = None
        self._loading = asyncio.Lock()
        self._operator = operator
        self._local: LocalApi | None = None

    @property
    def listeners(self) -> list[Listener]:
        """The listeners with TLS."""
        return [port.listener for port in self._open_ports if port.listener.context is not None]

    @property
    def port(self) -> int | None:
        """The port of the API once it is open; None without it."""
        return next((port.listener.address[1] for port in self._open_ports if not port.is_metrics), None)

    def add_port(self, protocol: str, host: str, port: int) -> None:
        """Register a port that the broker listens on, for the overview."""
        self._ports.append((protocol, host, port))

    def listen(self) -> None:
        """Open the ports; clients wait until begin(). Raises: PortError if a requested port is not available."""
        config = self._config
        wanted = config.management_port
        if wanted is None:
            wanted = OFF_PORT if config.ephemeral else API_PORT
        if wanted != OFF_PORT:
            try:
                host, port = self._open(wanted, "management-port", is_metrics=False)
            except PortError as error:
                if config.management_port is not None:
                    raise
                log.warning("no HTTP API: %s", error)
            else:
                scheme = "https" if config.management_tls else "http"
                self.add_port(scheme, host, port)
                self.url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        if config.metrics_port is not None and config.metrics_port != OFF_PORT:
            self.add_port("http/prometheus", *self._open(config.metrics_port, "metrics-port", is_metrics=True))

    def _open(self, number: int, option: str, is_metrics: bool) -> tuple[str, int]:
        host = self._config.management_host or self._config.host
        port = Port(self._context if self._config.management_tls and not is_metrics else None, is_metrics)
        try:
            port.listener.open(host, number, BACKLOG)
        except (OSError, UnicodeError) as error:
            host_option = "management-host" if self._config.management_host else "host"
            raise PortError(listen_error(host, number, option, error, host_option)) from None
        self._open_ports.append(port)
        return port.listener.address

    def begin(self) -> None:
        """Load the code and start serving."""
        if self._open_ports:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._start(await self._load())
        except Exception:
            log.exception("cannot start the HTTP API; the broker runs without it")
            self._close_ports()

    async def _load(self) -> Services:
        """The services behind the API. The first call starts the sampling of statistics."""
        async with self._loading:
            if self._services is None:
                await asyncio.to_thread(_load)
                self._services = self._make_services()
                await self._services.sampler.look()
                self._services.sampler.start()
            return self._services

    def _make_services(self) -> Services:
        from leveret.api.services import Facts, Services
        from leveret.api.services import Port as PortFact

        config = self._config
        directory = "" if config.memory or config.cluster else str(Path(config.data_dir).absolute())
        facts = Facts(
            directory,
            memory_limit=int(total_memory() * (config.memory_high_watermark or 1)),
            disk_free_limit=config.disk_free_limit,
            max_files=self._max_files,
            ports=[PortFact(*port) for port in self._ports],
            certificate=config.tls_certificate,
            disk=self._disk,
            settings=msgspec.to_builtins(config),
            prefix=config.management_prefix.rstrip("/"),
            interval_s=config.statistics_interval_ms / 1000,
            places=self._places,
        )
        return Services(self._broker, self._driver, self._performer, self._logins(HTTP), self._attempts, facts)

    async def _start(self, services: Services) -> None:
        from leveret.api.application import make_application, make_metrics_application
        from leveret.api.metrics.endpoint import Metrics
        from leveret.api.server import HttpServer, Visitor
        from leveret.server.places import Places

        metrics = Metrics(services)
        everything = make_application(services, metrics, self._config.open_metrics, self.around)
        metrics_alone = make_metrics_application(services, metrics)
        places: Places[Visitor] = Places(self._places)
        for port in self._open_ports:
            port.server = HttpServer(metrics_alone if port.is_metrics else everything, places)
            port.listener.begin()

    async def ask(self, arguments: dict[str, object]) -> AsyncIterator[tuple[dict[str, object], bytes]]:
        """Answer a request from the control socket: LocalApi.ask()."""
        if self._local is None:
            services = await self._load()
            from leveret.api.local import LocalApi
            from leveret.api.operations import OPERATIONS

            self._local = LocalApi(services, OPERATIONS, self._operator)
        async for head, body in self._local.ask(arguments):
            yield head, body

    def close(self) -> None:
        """Stop serving and close the ports."""
        if self._task is not None:
            self._task.cancel()
        if self._services is not None:
            self._services.sampler.stop()
        for port in self._open_ports:
            if port.server is not None:
                port.server.stop()
        self._close_ports()

    def _close_ports(self) -> None:
        for port in self._open_ports:
            port.listener.close()
        self._open_ports.clear()


def _load() -> None:
    """Import the code of the API. Slow, so it runs in another thread."""
    import leveret.api.application
    import leveret.api.operations
    import leveret.api.server  # noqa: F401


def listen_error(host: str, port: int, option: str, error: OSError | UnicodeError, host_option: str = "host") -> str:
    """Why listening failed, and what to do. option, host_option: the settings of port and host."""
    if isinstance(error, UnicodeError):
        return f"'{host}' is not an address to listen on; check --{host_option}"
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        return f"port {port} on {host} is in use; stop what uses it or choose another with --{option}"
    if error.errno == errno.EACCES:
        return f"not allowed to listen on {host}:{port}; choose a port above 1023 with --{option}"
    return f"cannot listen on {host}:{port}: {error.strerror or error}; check --{host_option} and --{option}"
