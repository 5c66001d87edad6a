"""Joins a cluster and opens its store, for a node that starts."""

from __future__ import annotations

import logging
from collections.abc import Callable

from leveret.cluster import schema
from leveret.cluster.checks import Level, check
from leveret.cluster.database import Connection, connect, find_password
from leveret.cluster.membership import Membership
from leveret.cluster.store import PostgresStore
from leveret.cluster.url import parse

log = logging.getLogger("leveret.cluster")


def join(
    url: str,
    password_file: str,
    name: str,
    on_replaced: Callable[[str], None],
    waits: bool = True,
    only_reads: bool = False,
) -> tuple[Membership, PostgresStore]:
    """Become the node of this name, and take over the database. Blocks: see Membership.join().

    waits: for a node that uses the database. only_reads: write() only tells whether this node still owns it.
    on_replaced: called in another thread with the reason, when another node has taken over. From then on, nothing can
    be written. Raises: StoreError, which is a ClusterError for whatever concerns the cluster.
    """
    place, password = parse(url), find_password(password_file or None)

    def connected(purpose: str) -> Connection:
        return connect(place, password, purpose)

    with connected(f"{name} starts") as connection:
        schema.require(connection)
        for finding in check(connection, place):
            if finding.level != Level.NOTE:
                log.warning("the database: %s; %s", finding.text, finding.advice)
    member = Membership(name, "", connected)
    member.join(waits, only_reads)
    member.keep(on_replaced)
    try:
        return member, PostgresStore(member, connected)
    except BaseException:
        member.stop()
        raise
