"""Marks for tests of the places where the broker and RabbitMQ are meant to differ."""

from __future__ import annotations

import os

import pytest


def differs_from_rabbitmq(reason: str) -> pytest.MarkDecorator:
    """Mark a test of behaviour that RabbitMQ 4.3 does not have: it must fail when LEVERET_TEST_PEER=rabbitmq."""
    return pytest.mark.xfail(os.environ.get("LEVERET_TEST_PEER") == "rabbitmq", reason=reason, strict=True)
