"""EmbeddedNode: a node in somebody else's process. It leaves the process as it is, and can go wrong on request."""

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
    from leveret.store.disk import DiskLog


class SwitchedAuthenticator:
    """Refuses logins while somebody wants that; otherwise asks the authenticator of the node."""

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

    kept: what its log keeps, for the next node to go on with; not used with a data directory. seed: for names and
    choices. users: names and passwords of those who may do everything. definitions: for the start, beside those of the
    configuration. skipped_ms: of time that an earlier node has let pass at once. bytes_read: from all clients.
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

    def make_log(self, config: Config) -> MemoryLog | DiskLog:
        """A log that the next node may go on with. Raises: StoreError."""
        return MemoryLog(kept=self._kept) if config.memory else super().make_log(config)

    def make_seed(self) -> int | None:
        """The one that was given."""
        return self._seed

    def make_authenticator(self, config: Config) -> Authenticator:
        """One that refuses everybody while that is wanted."""
        self.authenticator = SwitchedAuthenticator(super().make_authenticator(config))
        return self.authenticator

    def make_monitors(self, config: Config) -> list[Monitor]:
        """None: the process belongs to somebody else."""
        return []

    def make_protocol(self) -> EmbeddedProtocol:
        """One that can be made to misbehave."""
        return EmbeddedProtocol(self)

    def read_definitions(self, config: Config) -> dict[str, object] | None:
        """Those that were given, or those of the file. Raises: StartError."""
        return super().read_definitions(config) if self._definitions is None else dict(self._definitions)

    def definitions_vhost(self) -> str | None:
        """Entries that name no virtual host are for this one."""
        return DEFAULT_VHOST

    def protocols(self) -> list[EmbeddedProtocol]:
        """Those of all clients."""
        return [each for each in self.driver.protocols.values() if isinstance(each, EmbeddedProtocol)]

    def make_users(self) -> None:
        """Make the users, for all virtual hosts that there are, and no guest beside them. Their passwords are checked
        quickly.
        """
        if GUEST not in self._users and self.broker.users.get(GUEST) is not None:
            self.broker.users.delete(GUEST)
        for name, password in self._users.items():
            self.broker.users.put(name, salted(password), ("administrator",))
        for vhost in self.broker.vhosts:
            self.permit(vhost)

    def permit(self, vhost: str) -> None:
        """Let the users do everything in a virtual host."""
        for name in self._users:
            self.broker.users.set_permission(name, vhost, ".*", ".*", ".*")
