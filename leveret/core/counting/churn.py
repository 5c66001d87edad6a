"""Churn: how much comes and goes. A broker whose clients connect for each message is slow, and this shows it."""

from __future__ import annotations

from mypy_extensions import i64


class Churn:
    """What has begun and ended since the start.

    queues_declared: however often, those that were there already too.
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
