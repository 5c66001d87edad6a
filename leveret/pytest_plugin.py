"""The pytest plugin: a real broker for tests, in the test process.

    def test_hello(leveret):
        connection = pika.BlockingConnection(pika.URLParameters(leveret.url))

There is one broker for the session, and a separate virtual host for each test. The broker is only imported when a
test uses it.
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
_USED: pytest.StashKey[list[VirtualHost]] = pytest.StashKey()  # the virtual hosts that a test uses


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the settings for pyproject.toml."""
    parser.addini(
        "leveret_definitions", "Definitions file; its entries for / are declared for every test.", "string", ""
    )
    parser.addini("leveret_users", "Users of the broker, one name:password per line.", "linelist", [])
    parser.addini("leveret_seed", "Seed for random choices of the broker.", "string", "0")
    parser.addini("leveret_port", "Port of the session's broker. Default: a free port.", "string", "0")
    parser.addini("leveret_max_message_size", "Maximum size of a message body in bytes.", "string", "")
    parser.addini("leveret_tls", "Also let the broker listen for TLS.", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Validate the settings before any test runs."""
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
    """The port of the session's broker; each further worker of pytest-xdist uses the next port."""
    port = _number(config, "leveret_port") or 0
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return port + int(worker) if port and worker.isdigit() else port


def _number(config: pytest.Config, name: str) -> int | None:
    said = config.getini(name)
    try:
        return int(said) if said else None
    except ValueError:
        raise pytest.UsageError(f"{name}: must be a number, not {said!r}") from None


def _definitions(config: pytest.Config) -> Path | None:
    """The definitions file for every test."""
    name = config.getini("leveret_definitions")
    return Path(config.inipath.parent if config.inipath else config.rootpath, name) if name else None


def _content(config: pytest.Config) -> dict[str, object] | None:
    """The content of the definitions file for one virtual host."""
    path = _definitions(config)
    if path is None:
        return None
    from leveret.testing.definitions import of_one, read_definitions

    try:
        return of_one(read_definitions(path))
    except ValueError as error:
        raise pytest.UsageError(f"leveret_definitions: {error}") from None


def _define(host: VirtualHost, config: pytest.Config) -> None:
    """Import the definitions for a test."""
    content = _content(config)
    if content is None:
        return
    try:
        host.define(content)
    except ValueError as error:
        raise pytest.UsageError(f"leveret_definitions: {error}") from None


@pytest.fixture(scope="session")
def leveret_server(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The broker of the whole session, for fixtures with a wider scope. Tests share its content."""
    from leveret.testing import Broker

    with Broker(port=_port(pytestconfig), **_options(pytestconfig)) as broker:
        yield broker


@pytest.fixture
def leveret(leveret_server: Broker, request: pytest.FixtureRequest) -> Iterator[VirtualHost]:
    """A broker for this test: an empty virtual host of the session's broker."""
    name = f"test-{next(_numbers)}"
    host = leveret_server.virtual_host(name)
    _define(host, request.config)
    request.node.stash.setdefault(_USED, []).append(host)
    yield host
    host.faults.clear()
    leveret_server.delete_virtual_host(name)


@pytest.fixture
def leveret_async(leveret: VirtualHost, leveret_server: Broker) -> AsyncVirtualHost:
    """The same for tests in an event loop; methods that wait need await."""
    return leveret_server.async_virtual_host(leveret.name)


@pytest.fixture
def leveret_broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A separate broker for this test, which it may restart, freeze or fill with definitions."""
    from leveret.testing import Broker

    with Broker(**_options(request.config), definitions=_content(request.config)) as broker:
        request.node.stash.setdefault(_USED, []).append(broker)
        yield broker


@pytest.fixture
def amqp_url(leveret: VirtualHost) -> str:
    """The URL for clients, for tests that need nothing else."""
    return leveret.url


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Add a report of the broker's state and events to failed tests."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "teardown" or not report.failed:
        return
    for host in item.stash.get(_USED, []):
        from leveret.testing import NotRunning, WaitTimeout

        error = call.excinfo.value if call.excinfo is not None else None
        if isinstance(error, WaitTimeout) and error.url == host.url:
            continue  # its text already contains the report
        try:
            report.sections.append((f"Leveret ({host.url})", host.report()))
        except (NotRunning, LookupError) as reason:
            report.sections.append(("Leveret", str(reason)))
