"""ShardCounters: the shards of a node, as metrics report them."""

from __future__ import annotations


class ShardCounters:
    """owned: that belong to this node now. loading: of these, whose messages are still being read.

    gained, handed_over: since the start.
    """

    def __init__(self) -> None:
        self.owned = 0
        self.loading = 0
        self.gained = 0
        self.handed_over = 0
