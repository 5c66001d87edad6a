"""Run a node as a process, from its ready line to the signal that stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from typing import Final
from urllib.parse import urlsplit

from leveret import __version__
from leveret.node import logs
from leveret.node.allocator import keep_freed_memory
from leveret.node.collector import Collector
from leveret.node.config import Config
from leveret.node.node import Node, build_name
from leveret.node.parent_watch import ParentWatch
from leveret.node.printable import give_up, say

MAX_FILES: Final = 1 << 20  # limit of open files to request
LAST: Final = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGPWR", "SIGXCPU")  # for a clean shutdown
STRAY: Final = (
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPROF",
    "SIGIO",
)  # by default, these would kill the process

LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}

log = logging.getLogger("leveret.node")


async def serve(config: Config, started_at: float) -> int:
    """Run a node until a signal stops it; a second signal kills the process. SIGHUP reloads the TLS files.
    An ephemeral node also stops with its parent.

    Returns: the exit status. Raises: StartError, StoreError.
    """
    loop = asyncio.get_running_loop()
    for number in _signals(*STRAY, "SIGHUP"):
        signal.signal(number, signal.SIG_IGN)  # until the node has started
    logs.limit(loop)
    keep_freed_memory()
    _raise_file_limit()
    stopping = asyncio.Event()
    parent_watch = ParentWatch(stopping.set) if config.ephemeral else None
    node = Node(config)
    node.on_replaced = stopping.set
    urls = await node.start()

    signals: list[int] = []

    def on_signal(number: int) -> None:
        if signals:
            os._exit(1)
        signals.append(number)
        stopping.set()

    for number in _signals(*LAST):
        loop.add_signal_handler(number, on_signal, number)
    for number in _signals("SIGHUP"):
        loop.add_signal_handler(number, node.reload)
    for number in _signals(*STRAY):
        loop.add_signal_handler(number, _on_stray, number)
    if parent_watch is not None:
        parent_watch.start()
    _announce(node, config, urls, round((time.time() - started_at) * 1000))
    collector = Collector(node.broker, loop)
    collector.start()
    await stopping.wait()
    collector.stop()
    if parent_watch is not None:
        parent_watch.stop()
    await node.stop()
    return 1 if node.was_replaced else 0


def _signals(*names: str) -> list[signal.Signals]:
    """The signals with these names that this system supports."""
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


def _on_stray(number: signal.Signals) -> None:
    log.warning("ignoring %s; SIGTERM stops the broker, SIGHUP reloads the TLS files", number.name)


def _announce(node: Node, config: Config, urls: list[str], spent_ms: int) -> None:
    """Print the ready line, with addresses that a client on this machine can use.

    URLs in JSON contain the default user, if it exists. Checking its password is the slowest step here.
    """
    wide = [url for url in urls if urlsplit(url).hostname in LOCAL]
    urls = [_local(url) for url in urls]
    if not config.json:
        where = f"{' and '.join(urls)}{' (on all addresses)' if wide else ''}"
        api = f"; HTTP API on {_local(node.api_url)}" if node.api_url else ""
        _say(f"Leveret {__version__} ({build_name()}) ready on {where} in {spent_ms} ms{api}")
        return
    users = [_with_guest(url) for url in urls] if node.has_default_user else urls
    first = urlsplit(urls[0])
    found: dict[str, object] = {"url": users[0], "host": first.hostname, "port": first.port}
    if len(urls) > 1:
        found["tls_url"] = users[1]
        found["tls_port"] = urlsplit(urls[1]).port
    if node.api_url:
        found["management_url"] = _local(node.api_url)
    found |= {"pid": os.getpid(), "version": __version__, "build": build_name(), "start_ms": spent_ms}
    _say(json.dumps(found))


def _say(line: str) -> None:
    """Print a line. A failure does not stop the broker."""
    try:
        say(line)
        sys.stdout.flush()
    except OSError as error:
        give_up(sys.stdout)
        log.warning("cannot print that the broker is ready: %s; it runs anyway", error.strerror)


def _local(url: str) -> str:
    """Replace a wildcard address by a local one."""
    where = urlsplit(url)
    host = where.hostname or ""
    return url.replace(where.netloc, f"{LOCAL[host]}:{where.port}") if host in LOCAL else url


def _with_guest(url: str) -> str:
    return url.replace(
        "://", "://guest:guest@", 1
    )  # without a path, which some clients read as a virtual host with an empty name


def _raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit, or to MAX_FILES."""
    try:
        import resource
    except ImportError:
        return  # not available on this platform
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
