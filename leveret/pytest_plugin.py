"""The pytest plugin: a real broker for tests, in the test process.

    def test_hello(leveret):
        connection = pika.BlockingConnection(pika.URLParameters(leveret.url))

There is one broker for the session, and a virtual host of its own for each test. Nothing of the broker is imported
before a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from leveret.testing import AsyncVirtualHost, Broker, VirtualHost

_numbers = count(1)
_USED: pytest.StashKey[list[VirtualHost]] = pytest.StashKey()  # of a test: what it has of brokers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings for pyproject.toml."""
    parser.addini(
        "leveret_definitions", "Definitions file; what it has for / is declared for every test.", "string", ""
    )
    parser.addini("leveret_users", "Users of the broker, name:password, a line each.", "linelist", [])
    parser.addini("leveret_seed", "For all that the broker leaves to chance.", "string", "0")
    parser.addini("leveret_port", "Port of the broker of the session; a free one by default.", "string", "0")
    parser.addini("leveret_max_message_size", "Bytes that the body of a message may have.", "string", "")
    parser.addini("leveret_tls", "Let the broker speak TLS too.", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Complain of settings before anything is run."""
    _options(config)
    _number(config, "leveret_port")


def _options(config: pytest.Config) -> dict[str, Any]:
    users = {}
    for line in config.getini("leveret_users"):
        name, colon, password = line.partition(":")
        if not colon:
            raise pytest.UsageError(f"leveret_users: '{line}' is not name:password")
        users[name.strip()] = password.strip()
    return {
        "users": users,
        "seed": _number(config, "leveret_seed") or 0,
        "max_message_size": _number(config, "leveret_max_message_size"),
        "tls": config.getini("leveret_tls"),
    }


def _port(config: pytest.Config) -> int:
    """The port of the broker of the session; that of each further worker of pytest-xdist is one higher."""
    port = _number(config, "leveret_port") or 0
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return port + int(worker) if port and worker.isdigit() else port


def _number(config: pytest.Config, name: str) -> int | None:
    said = config.getini(name)
    try:
        return int(said) if said else None
    except ValueError:
        raise pytest.UsageError(f"{name}: has to be a number, and not {said!r}") from None


def _definitions(config: pytest.Config) -> Path | None:
    """The file of the definitions that every test begins with."""
    name = config.getini("leveret_definitions")
    return Path(config.inipath.parent if config.inipath else config.rootpath, name) if name else None


def _content(config: pytest.Config) -> dict[str, object] | None:
    """What they have for one virtual host."""
    path = _definitions(config)
    if path is None:
        return None
    from leveret.testing.definitions import of_one, read_definitions

    try:
        return of_one(read_definitions(path))
    except ValueError as error:
        raise pytest.UsageError(f"leveret_definitions: {error}") from None


def _define(host: VirtualHost, config: pytest.Config) -> None:
    """Declare what every test begins with."""
    content = _content(config)
    if content is None:
        return
    try:
        host.define(content)
    except ValueError as error:
        raise pytest.UsageError(f"leveret_definitions: {error}") from None


@pytest.fixture(scope="session")
def leveret_server(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The broker of the whole session: for fixtures of a wider scope than a test. Tests share what is in it."""
    from leveret.testing import Broker

    with Broker(port=_port(pytestconfig), **_options(pytestconfig)) as broker:
        yield broker


@pytest.fixture
def leveret(leveret_server: Broker, request: pytest.FixtureRequest) -> Iterator[VirtualHost]:
    """A broker for this test: a virtual host of its own, which is empty, on the broker of the session."""
    name = f"test-{next(_numbers)}"
    host = leveret_server.virtual_host(name)
    _define(host, request.config)
    request.node.stash.setdefault(_USED, []).append(host)
    yield host
    host.faults.clear()
    leveret_server.delete_virtual_host(name)


@pytest.fixture
def leveret_async(leveret: VirtualHost, leveret_server: Broker) -> AsyncVirtualHost:
    """The same for tests in an event loop: what waits is awaited."""
    return leveret_server.async_virtual_host(leveret.name)


@pytest.fixture
def leveret_broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A whole broker of the test's own, which it may restart, freeze or fill with definitions."""
    from leveret.testing import Broker

    with Broker(**_options(request.config), definitions=_content(request.config)) as broker:
        request.node.stash.setdefault(_USED, []).append(broker)
        yield broker


@pytest.fixture
def amqp_url(leveret: VirtualHost) -> str:
    """Where clients connect to, for tests that need no more."""
    return leveret.url


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show with a test that has failed what is in its broker, and what passed through it."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "teardown" or not report.failed:
        return
    for host in item.stash.get(_USED, []):
        from leveret.testing import NotRunning, WaitTimeout

        error = call.excinfo.value if call.excinfo is not None else None
        if isinstance(error, WaitTimeout) and error.url == host.url:
            continue  # its text says all that
        try:
            report.sections.append((f"Leveret ({host.url})", host.report()))
        except (NotRunning, LookupError) as reason:
            report.sections.append(("Leveret", str(reason)))
