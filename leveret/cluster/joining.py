"""Joins a cluster and opens its store, for a node that starts."""

from __future__ import annotations

from collections.abc import Callable

from leveret.cluster import schema
from leveret.cluster.database import Connection, connect, find_password
from leveret.cluster.membership import Membership
from leveret.cluster.store import PostgresStore
from leveret.cluster.url import parse


def join(
    url: str, password_file: str, name: str, on_replaced: Callable[[str], None], only_reads: bool = False
) -> PostgresStore:
    """Become the node of this name, and take over the database. Blocks, about 1.3 s if the last node was killed.

    only_reads: change nothing but the list of nodes. Then write() only tells whether this node is still in it.
    on_replaced: called in another thread with the reason, when another node has taken over. From then on, nothing can
    be written. Raises: StoreError, which is a ClusterError for whatever concerns the cluster.
    """
    place, password = parse(url), find_password(password_file or None)

    def connected(purpose: str) -> Connection:
        return connect(place, password, purpose)

    with connected(f"{name} starts") as connection:
        schema.require(connection)
    member = Membership(name, "", connected)
    member.join(not only_reads)
    member.begin(on_replaced)
    try:
        return PostgresStore(member, connected)
    except BaseException:
        member.stop()
        raise
