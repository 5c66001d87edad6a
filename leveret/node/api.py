"""Api: the HTTP API of a node. Its ports are open before the node is ready, its code is loaded afterwards.

Programs of this machine ask it through the control socket; without ports its code is loaded when the first one does.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from leveret.auth.authenticator import Authenticator
from leveret.auth.operator import Operator
from leveret.core.broker import Broker
from leveret.node.config import Config
from leveret.node.kinds import OFF_PORT
from leveret.node.watch import total_memory
from leveret.server.driver import Driver
from leveret.server.performer import Performer

if TYPE_CHECKING:
    from leveret.api.local import LocalApi
    from leveret.api.server import HttpServer
    from leveret.api.services import Services

API_PORT: Final = 15672
BACKLOG: Final = 256

log = logging.getLogger("leveret.node")


class PortError(Exception):
    """A port that was asked for cannot be had; the text says why, and what to do."""


class Api:
    """Of one node. url: where it is, empty without it."""

    def __init__(
        self,
        config: Config,
        broker: Broker,
        driver: Driver,
        performer: Performer,
        authenticator: Authenticator,
        operator: Operator,
        context: ssl.SSLContext | None,
        max_files: int,
    ) -> None:
        self.url = ""
        self._max_files = max_files
        self._config = config
        self._broker = broker
        self._driver = driver
        self._performer = performer
        self._authenticator = authenticator
        self._context = context
        self._sockets: list[tuple[socket.socket, bool]] = []  # whether for metrics alone
        self._ports: list[tuple[str, str, int]] = []
        self._task: asyncio.Task[None] | None = None
        self._servers: list[HttpServer] = []
        self._services: Services | None = None
        self._loading = asyncio.Lock()
        self._operator = operator
        self._local: LocalApi | None = None

    def add_port(self, protocol: str, host: str, port: int) -> None:
        """One that the broker listens on."""
        self._ports.append((protocol, host, port))

    def listen(self) -> None:
        """Open the ports; clients wait until begin(). Raises: PortError for one that was asked for."""
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

    def _open(self, port: int, option: str, is_metrics: bool) -> tuple[str, int]:
        host = self._config.management_host or self._config.host
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            both = host == "::" and socket.has_dualstack_ipv6()
            made = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
        except (OSError, UnicodeError) as error:
            raise PortError(listen_error(host, port, option, error)) from None
        made.setblocking(False)
        self._sockets.append((made, is_metrics))
        name = made.getsockname()
        return str(name[0]), int(name[1])

    def begin(self) -> None:
        """Load what is needed, and serve whoever has come."""
        if self._sockets:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._start(await self._load())
        except Exception:
            log.exception("the HTTP API cannot be started; the broker serves without it")
            self._close_sockets()

    async def _load(self) -> Services:
        """What answers are made from; its samples begin when it is wanted first."""
        async with self._loading:
            if self._services is None:
                await asyncio.to_thread(_load)
                self._services = self._make_services()
                await self._services.sampler.look()
                self._services.sampler.start()
            return self._services

    def _make_services(self) -> Services:
        from leveret.api.services import Facts, Port, Services

        config = self._config
        directory = "" if config.memory else str(Path(config.data_dir).absolute())
        facts = Facts(
            directory,
            memory_limit=int(total_memory() * (config.memory_high_watermark or 1)),
            disk_free_limit=config.disk_free_limit,
            max_files=self._max_files,
            ports=[Port(*port) for port in self._ports],
            certificate=config.tls_certificate,
            settings=msgspec.to_builtins(config),
            prefix=config.management_prefix.rstrip("/"),
        )
        return Services(self._broker, self._driver, self._performer, self._authenticator, facts)

    async def _start(self, services: Services) -> None:
        from leveret.api.application import make_application
        from leveret.api.server import HttpServer

        context = self._context if self._config.management_tls else None
        sockets, self._sockets = self._sockets, []
        for made, is_metrics in sockets:
            server = HttpServer(make_application(services))
            await server.serve(made, None if is_metrics else context)
            self._servers.append(server)

    async def ask(self, arguments: dict[str, object]) -> AsyncIterator[tuple[dict[str, object], bytes]]:
        """What the control socket asks: LocalApi.ask()."""
        if self._local is None:
            services = await self._load()
            from leveret.api.local import LocalApi
            from leveret.api.operations import OPERATIONS

            self._local = LocalApi(services, OPERATIONS, self._operator)
        async for head, body in self._local.ask(arguments):
            yield head, body

    def close(self) -> None:
        """Serve nobody any more."""
        if self._task is not None:
            self._task.cancel()
        if self._services is not None:
            self._services.sampler.stop()
        for server in self._servers:
            server.stop()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for made, _ in self._sockets:
            made.close()
        self._sockets.clear()


def _load() -> None:
    """Bring the code of the API into memory, in another thread: it takes a moment."""
    import leveret.api.application
    import leveret.api.operations
    import leveret.api.server  # noqa: F401


def listen_error(host: str, port: int, option: str, error: OSError | UnicodeError) -> str:
    """Why nobody can listen there, and what to do."""
    if isinstance(error, UnicodeError):
        return f"'{host}' is no address to listen on; check --host"
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        return f"port {port} on {host} is in use; stop what uses it or choose another with --{option}"
    if error.errno == errno.EACCES:
        return f"not allowed to listen on {host}:{port}; choose a port above 1023 with --{option}"
    return f"cannot listen on {host}:{port}: {error.strerror or error}; check --host and --{option}"
