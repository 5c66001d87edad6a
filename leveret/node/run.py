"""Run a broker in this process: configuration, log, event loop, and error messages."""

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
from leveret.store.chunk_store import StoreError


def run(options: dict[str, object]) -> int:
    """Serve until SIGTERM or SIGINT.

    options: of the command line, None if not given.
    Returns: the exit status; 2 if the broker could not start, with the reason on standard error.
    """
    gc.disable()  # the Collector of the node schedules collections
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
        return _fail("interrupted before the broker was ready")


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
