"""Metrics of logins, by protocol. Source: rabbit_core_metrics.erl (auth_attempt)."""

from __future__ import annotations

from leveret.api.metrics.family import COUNTER, Family, Group
from leveret.api.metrics.scrape import Scrape
from leveret.auth.attempts import Attempts

Login = tuple[str, Attempts]


async def _attempts(scrape: Scrape) -> list[Login]:
    return list(scrape.services.attempts.items())


async def _by_source(scrape: Scrape) -> list[Login]:
    """Always empty: attempts are not counted by address. RabbitMQ counts them only if configured to."""
    return []


def _tail(login: Login) -> str:
    return f'{{protocol="{login[0]}"}}'


def _families(name: str, source: str = "") -> tuple[Family, ...]:
    return (
        Family(
            f"{name}_total",
            COUNTER,
            f"Total number of authentication attempts{source}",
            lambda login: login[1].succeeded + login[1].failed,
        ),
        Family(
            f"{name}_succeeded_total",
            COUNTER,
            f"Total number of successful authentication attempts{source}",
            lambda login: login[1].succeeded,
        ),
        Family(
            f"{name}_failed_total",
            COUNTER,
            f"Total number of failed authentication attempts{source}",
            lambda login: login[1].failed,
        ),
    )


ATTEMPTS = Group("auth_attempt_metrics", _attempts, _families("auth_attempts"), _tail)
BY_SOURCE = Group(
    "auth_attempt_detailed_metrics", _by_source, _families("auth_attempts_detailed", " with source info"), _tail
)
