"""EmbeddedNode: a node inside a test process. It does not change the process, and supports injected faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from leveret.auth.authenticator import Authenticator, LoginRefused
from leveret.auth.passwords import salted
from leveret.core.access.user import User
from leveret.node.config import Config
from leveret.node.defaults import DEFAULT_USER as GUEST
from leveret.node.defaults import DEFAULT_VHOST
from leveret.node.monitors.monitor import Monitor
from leveret.node.node import Node
from leveret.store.memory import Kept, MemoryLog
from leveret.testing.protocol import EmbeddedProtocol

if TYPE_CHECKING:
    from leveret.store.chunk_log import ChunkLog


class SwitchedAuthenticator:
    """Refuses all logins while switched on; otherwise uses the authenticator of the node."""

    def __init__(self, inner: Authenticator) -> None:
        self.refuses = False
        self._inner = inner

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """See Authenticator. Raises: LoginRefused."""
        if self.refuses:
            raise LoginRefused(f"user '{name}' - refused for a test")
        return self._inner.authenticate_now(name, password, host)

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """See Authenticator. Raises: LoginRefused, TooBusy, ClientGone."""
        return await self._inner.authenticate(name, password, host, is_gone)


class EmbeddedNode(Node):
    """A node for a test.

    kept: the content of its log, for the next node; not used with a data directory. seed: for generated names and
    random choices. users: passwords by name, of administrators. definitions: to import at the start, instead of those
    of the configuration. skipped_ms: time by which earlier nodes advanced the clock. bytes_read: from all clients.
    """

    def __init__(
        self,
        config: Config,
        kept: Kept,
        seed: int,
        users: Mapping[str, str],
        definitions: Mapping[str, object] | None,
        skipped_ms: int = 0,
    ) -> None:
        self._kept = kept
        self._seed = seed
        self._users = users
        self._definitions = definitions
        super().__init__(config)
        self.bytes_read = 0
        self.driver.skipped_ms = skipped_ms
        self.driver.refresh_clock()

    def make_log(self, config: Config) -> MemoryLog | ChunkLog:
        """A log that the next node can take over. Raises: StoreError."""
        return MemoryLog(kept=self._kept) if config.memory else super().make_log(config)

    def make_seed(self) -> int | None:
        """The given seed."""
        return self._seed

    def make_authenticator(self, config: Config) -> Authenticator:
        """An authenticator that can refuse all logins."""
        self.authenticator = SwitchedAuthenticator(super().make_authenticator(config))
        return self.authenticator

    def make_monitors(self, config: Config) -> list[Monitor]:
        """None, as the process is not the broker's own."""
        return []

    def make_protocol(self) -> EmbeddedProtocol:
        """A protocol object that supports faults."""
        return EmbeddedProtocol(self)

    def read_definitions(self, config: Config) -> dict[str, object] | None:
        """The given definitions, or those of the file. Raises: StartError."""
        return super().read_definitions(config) if self._definitions is None else dict(self._definitions)

    def definitions_vhost(self) -> str | None:
        """The virtual host for entries that name none."""
        return DEFAULT_VHOST

    def protocols(self) -> list[EmbeddedProtocol]:
        """The protocol objects of all clients."""
        return [each for each in self.driver.protocols.values() if isinstance(each, EmbeddedProtocol)]

    def make_users(self) -> None:
        """Create the users with permissions in all virtual hosts, and remove guest unless given. Uses a fast password
        hash.
        """
        if GUEST not in self._users and self.broker.users.get(GUEST) is not None:
            self.broker.users.delete(GUEST)
        for name, password in self._users.items():
            self.broker.users.put(name, salted(password), ("administrator",))
        for vhost in self.broker.vhosts:
            self.permit(vhost)

    def permit(self, vhost: str) -> None:
        """Give the users all permissions in a virtual host."""
        for name in self._users:
            self.broker.users.set_permission(name, vhost, ".*", ".*", ".*")
