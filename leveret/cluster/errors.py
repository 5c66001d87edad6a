"""Errors about the database of a cluster. Each text is one sentence that names the cause and the remedy."""

from __future__ import annotations

from leveret.store.chunk_store import StoreError


class ClusterError(StoreError):
    """The database of the cluster cannot be used. The text never contains a password."""


class NotPrimary(ClusterError):
    """The server is reachable, but accepts no writes: it is a standby, or read-only by its settings."""
