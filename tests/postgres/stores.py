"""Opens the store of a cluster's only node, as a broker does."""

from __future__ import annotations

from collections.abc import Callable

from leveret.cluster import schema
from leveret.cluster.database import Connection, connect
from leveret.cluster.membership import Membership
from leveret.cluster.store import PostgresStore


def open_store(url: str, on_lost: Callable[[str], None] = print, name: str = "a") -> PostgresStore:
    """Join with a new node, in a database that may be empty."""

    def connected(purpose: str) -> Connection:
        return connect(url, purpose=purpose)

    with connected("tests") as connection:
        schema.create(connection)
    member = Membership(name, "", connected)
    member.join()
    member.keep(on_lost)
    return PostgresStore(member, connected)
