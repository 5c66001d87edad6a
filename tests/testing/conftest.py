"""Fixtures of the tests of the embedded broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
import uvloop

import leveret

from .support import Noise, connect

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Connect(Protocol):
    """Makes connections that are closed with the test."""

    def __call__(self, url: str, name: str = "", **more: Any) -> Any:
        """See support.connect()."""


@pytest.fixture
def broker() -> Iterator[leveret.Broker]:
    """A broker of the test's own."""
    with leveret.Broker() as broker:
        yield broker


@pytest.fixture
def clients() -> Iterator[Connect]:
    """Makes connections of pika."""
    made: list[Any] = []

    def make(url: str, name: str = "", **more: Any) -> Any:
        made.append(connect(url, name, **more))
        return made[-1]

    yield make
    for connection in made:
        with contextlib.suppress(AttributeError):  # it has none any more
            connection._impl._transport._sock.close()  # without a word, to which a broker might not answer


@pytest.fixture(params=LOOPS)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """The event loops that there are."""
    return LOOPS[str(request.param)]


@pytest.fixture(autouse=True)
def noise(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What the broker has logged as an error, of which there must be nothing left at the end of the test."""
    handler = Noise()
    loggers = [logging.getLogger(name) for name in ("leveret", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.lines
    for logger in loggers:
        logger.removeHandler(handler)
    assert not handler.lines
