"""Shards: parts of a store that can belong to different nodes. A queue is in one shard, and so is a chunk."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

SHARD_BIT: Final = 52  # the shard of a chunk is above this bit of its id, a number below it


def shard_of_queue(queue_id: i64, shard_count: i64) -> i64:
    """The shard of a queue. Its transient messages are not there: they are stored under its negative id."""
    return queue_id % shard_count


def shard_of_chunk(chunk_id: i64) -> i64:
    """The shard of a chunk."""
    return chunk_id >> SHARD_BIT


def chunk_number(chunk_id: i64) -> i64:
    """The number of a chunk, without its shard."""
    return chunk_id & ((1 << SHARD_BIT) - 1)
