"""Churn: how many objects begin and end. It shows clients that connect for each message, which makes a broker slow."""

from __future__ import annotations

from mypy_extensions import i64


class Churn:
    """What has begun and ended since the start.

    queues_declared: all declarations, including those of existing queues.
    Source: rabbit_core_metrics.erl (connection_churn_metrics).
    """

    def __init__(self) -> None:
        self.connections_opened: i64 = 0
        self.connections_closed: i64 = 0
        self.channels_opened: i64 = 0
        self.channels_closed: i64 = 0
        self.queues_declared: i64 = 0
        self.queues_created: i64 = 0
        self.queues_deleted: i64 = 0
