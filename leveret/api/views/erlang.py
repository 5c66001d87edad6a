"""What only RabbitMQ has, since it runs on Erlang: the fields are there for clients that insist on them, and are 0."""

from __future__ import annotations

import msgspec


class GarbageCollection(msgspec.Struct, frozen=True):
    """Of an Erlang process."""

    fullsweep_after: int = 0
    max_heap_size: int = 0
    min_bin_vheap_size: int = 0
    min_heap_size: int = 0
    minor_gcs: int = 0


GARBAGE_COLLECTION = GarbageCollection()
