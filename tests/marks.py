"""Marks for tests: where the broker and RabbitMQ are meant to differ, and where a build cannot run them."""

from __future__ import annotations

import os

import pytest

from leveret.node.node import is_compiled

interpreted_only = pytest.mark.skipif(
    is_compiled(), reason="a DefinitionLog that is written in Python needs the interpreted build, where this runs, too"
)
"""For tests of the core that have a table of definitions of their own."""


def differs_from_rabbitmq(reason: str) -> pytest.MarkDecorator:
    """Mark a test of behaviour that RabbitMQ 4.3 does not have: it must fail when LEVERET_TEST_PEER=rabbitmq."""
    return pytest.mark.xfail(os.environ.get("LEVERET_TEST_PEER") == "rabbitmq", reason=reason, strict=True)
