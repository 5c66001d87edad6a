"""Joins a cluster and opens its store, for a node that starts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from leveret.cluster import schema
from leveret.cluster.checks import Level, check
from leveret.cluster.database import Connection, connect, find_password
from leveret.cluster.membership import Membership
from leveret.cluster.store import PostgresStore
from leveret.cluster.url import DatabaseUrl, parse

log = logging.getLogger("leveret.cluster")


@dataclass(frozen=True)
class Joined:
    """A node of a cluster. connect: opens a connection for a purpose. Raises: StoreError."""

    member: Membership
    store: PostgresStore
    connect: Callable[[str], Connection]


def enter(url: str, password_file: str, name: str, on_replaced: Callable[[str], None]) -> Joined:
    """Become a node that shares the shards with others. Blocks: see Membership.enter().

    on_replaced: called in another thread with the reason, when the others hold this node for dead. From then on,
    nothing can be written. Raises: StoreError, which is a ClusterError for whatever concerns the cluster.
    """
    connected = _prepare(url, password_file, name)
    member = Membership(name, name, connected)
    member.enter()
    member.keep(on_replaced)
    return Joined(member, _open(member, connected), connected)


def join_alone(
    url: str,
    password_file: str,
    name: str,
    on_replaced: Callable[[str], None],
    waits: bool = False,
    only_reads: bool = False,
) -> Joined:
    """Become the only node, which has all shards. Blocks: see Membership.join().

    waits: until no other one lives; otherwise that is an error. only_reads: write() only tells whether this node is
    still the only one.
    on_replaced: called in another thread with the reason, when another node has taken over. From then on, nothing can
    be written. Raises: StoreError, which is a ClusterError for whatever concerns the cluster.
    """
    connected = _prepare(url, password_file, name)
    member = Membership(name, name, connected)
    member.join(waits, only_reads)
    member.keep(on_replaced)
    return Joined(member, _open(member, connected), connected)


def _prepare(url: str, password_file: str, name: str) -> Callable[[str], Connection]:
    """Check the database. Returns: what opens connections to it. Raises: StoreError."""
    place, password = parse(url), find_password(password_file or None)
    connected = functools.partial(_connect, place, password)
    with connected(f"{name} starts") as connection:
        schema.require(connection)
        for finding in check(connection, place):
            if finding.level != Level.NOTE:
                log.warning("the database: %s; %s", finding.text, finding.advice)
    return connected


def _connect(place: DatabaseUrl, password: str | None, purpose: str) -> Connection:
    return connect(place, password, purpose)


def _open(member: Membership, connected: Callable[[str], Connection]) -> PostgresStore:
    try:
        return PostgresStore(member, connected)
    except BaseException:
        member.stop()
        raise
