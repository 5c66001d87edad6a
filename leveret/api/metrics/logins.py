"""Metrics of logins, which nobody counts yet: there are no samples. Source: rabbit_core_metrics.erl (auth_attempt)."""

from __future__ import annotations

from leveret.api.metrics.family import COUNTER, Family, Group, Sample, sample_tail, sample_value
from leveret.api.metrics.scrape import Scrape


async def _attempts(scrape: Scrape) -> list[Sample]:
    return []


ATTEMPTS = Group(
    "auth_attempt_metrics",
    _attempts,
    (
        Family("auth_attempts_total", COUNTER, "Total number of authentication attempts", sample_value),
        Family(
            "auth_attempts_succeeded_total",
            COUNTER,
            "Total number of successful authentication attempts",
            sample_value,
        ),
        Family("auth_attempts_failed_total", COUNTER, "Total number of failed authentication attempts", sample_value),
    ),
    sample_tail,
)
BY_SOURCE = Group(
    "auth_attempt_detailed_metrics",
    _attempts,
    (
        Family(
            "auth_attempts_detailed_total",
            COUNTER,
            "Total number of authentication attempts with source info",
            sample_value,
        ),
        Family(
            "auth_attempts_detailed_succeeded_total",
            COUNTER,
            "Total number of successful authentication attempts with source info",
            sample_value,
        ),
        Family(
            "auth_attempts_detailed_failed_total",
            COUNTER,
            "Total number of failed authentication attempts with source info",
            sample_value,
        ),
    ),
    sample_tail,
)
