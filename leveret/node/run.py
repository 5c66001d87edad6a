"""Runs a broker in this process: configuration, log, event loop, and what to say when one of them fails."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import psutil

from leveret.node import logs
from leveret.node.errors import StartError
from leveret.node.loading import ConfigError, load, unknown_variables
from leveret.node.printable import complain
from leveret.node.serving import serve
from leveret.store.database import StoreError


def run(options: dict[str, object]) -> int:
    """Serve until SIGTERM or SIGINT.

    options: those of the command line, None for those not given.
    Returns: the exit code, 2 when the broker could not start; the reason is on stderr.
    """
    gc.disable()  # its Collector does that
    for warning in unknown_variables():
        complain("leveret", warning)
    try:
        config = load(options)
    except ConfigError as error:
        return _fail(*error.problems)
    logs.begin(config.log_level, config.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(serve(config, psutil.Process().create_time()))
    except (StartError, StoreError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted before it was ready")


def _fail(*problems: str) -> int:
    for problem in problems:
        complain("leveret", problem)
    return 2


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
