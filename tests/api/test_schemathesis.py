"""Whatever the description allows, and much of what it does not, gets an answer that the description has.

HYPOTHESIS_PROFILE=thorough asks each operation a hundred times.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import leveret
from leveret.api.openapi import describe
from leveret.api.operations import OPERATIONS
from tests.api.http import Http
from tests.api.scene import furnish

IS_THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
ASKED = 100 if IS_THOROUGH else 6
PHASES = [Phase.explicit, Phase.generate] if IS_THOROUGH else [Phase.generate]
USER, PASSWORD = "a user that nobody happens to name", "secret"
"""Who asks. Guest would be deleted sooner or later, and wrong passwords make logins slow on purpose."""

ENDLESS = ("/leveret/events", "/leveret/traces/{vhost}")  # and events of consumers, of whose ids nobody has one here
SLOW = "/leveret/session"  # passwords, nearly all of them wrong


def no_mistake_of_ours(context: Any, response: Any, case: Any) -> None:
    """Nothing fails inside the broker; a 503 is an answer like any other."""
    assert response.status_code != 500


CHECKS: list[Any] = [
    no_mistake_of_ours,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NAMES = {
    "vhost": ["/", "scene", "closed"],
    "exchange": ["events", "amq.default", "inner"],
    "source": ["events", "inner"],
    "destination": ["orders", "inner"],
    "queue": ["orders", "urgent", "with/slash and ü"],
    "consumer": ["x"],
    "user": ["man", "guest"],
    "name": ["max-queues", "ceiling", "motto", "u"],
    "component": ["policy", "operator_policy", "shovel"],
    "kind": ["q", "e"],
}
"""Of things that are there, by what paths call them."""

schema = schemathesis.openapi.from_dict(describe(OPERATIONS, "/api"), config=SchemathesisConfig())


@schema.hook
def flatmap_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Let half of all names be those of things that are there."""
    given = path_parameters or {}
    strategies = {
        name: st.one_of(st.just(value), st.sampled_from(NAMES[name])) if name in NAMES else st.just(value)
        for name, value in given.items()
    }
    return st.fixed_dictionaries(strategies)


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with leveret.Broker(management=True, users={"guest": "guest", USER: PASSWORD}) as broker:
        furnish(Http(broker.management_url))
        yield broker.management_url


@schema.exclude(path=[*ENDLESS, SLOW]).parametrize()
@settings(
    max_examples=ASKED,
    deadline=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
    derandomize=not IS_THOROUGH,
)
def test_answers_are_as_described(api: str, case: Any) -> None:
    case.call_and_validate(base_url=f"{api}/api", auth=(USER, PASSWORD), checks=CHECKS)
