"""Fields about Erlang, which only RabbitMQ has. They are 0 here, for clients that require them."""

from __future__ import annotations

import msgspec


class GarbageCollection(msgspec.Struct, frozen=True):
    """Garbage collection of an Erlang process; always 0."""

    fullsweep_after: int = 0
    max_heap_size: int = 0
    min_bin_vheap_size: int = 0
    min_heap_size: int = 0
    minor_gcs: int = 0


GARBAGE_COLLECTION = GarbageCollection()
