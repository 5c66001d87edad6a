"""The options that name a broker, and how to reach it: a running broker, or its data directory if none runs."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

from leveret.node import control_path
from leveret.node.cli.option_groups import grouped
from leveret.node.cli.output import refuse
from leveret.node.config import Config
from leveret.node.control_path import ControlError
from leveret.node.loading import ConfigError, load
from leveret.node.trust import Untrusted, check

T = TypeVar("T")
P = ParamSpec("P")

DEFAULTS = Config()

START_S = 3.0  # a starting broker may take from opening its data to opening its control socket

PANEL = "Which broker"
URL_VARIABLE = "LEVERET_URL"

DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        help="Data directory of the broker. Default: LEVERET_DATA_DIR, else leveret-data.",
        rich_help_panel=PANEL,
    ),
]
OPTIONS: dict[str, Any] = {
    "data_dir": DataDir,
    "control": Annotated[
        str | None,
        typer.Option(
            help="Control socket of the broker, if not in its data directory.",
            rich_help_panel=PANEL,
        ),
    ],
    "url": Annotated[
        str | None,
        typer.Option(
            help="HTTP API of a broker: http://USER:PASSWORD@HOST:15672. Default: LEVERET_URL.", rich_help_panel=PANEL
        ),
    ],
    "profile": Annotated[
        str | None, typer.Option(help="Profile made with `leveret profiles add`.", rich_help_panel=PANEL)
    ],
    "ca_file": Annotated[str | None, typer.Option(help="File of trusted CAs, for https://.", rich_help_panel=PANEL)],
}


@dataclass(frozen=True)
class Target:
    """The target broker, named by a local data directory or control socket, a URL or a profile."""

    data_dir: str | None = None
    control: str | None = None
    url: str | None = None
    profile: str | None = None
    ca_file: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether to use the HTTP API. LEVERET_URL applies if no option is given."""
        if self.data_dir or self.control:
            return False
        return bool(self.url or self.profile or url_in_environment())

    def check(self, names_others: bool) -> None:
        """Refuse options that name two brokers. names_others: other options take URLs too. Raises: BadParameter."""
        given = [
            option
            for option, value in (
                ("--data-dir", self.data_dir),
                ("--control", self.control),
                ("--url", self.url),
                ("--profile", self.profile),
            )
            if value
        ]
        if len(given) > 1 and given != ["--data-dir", "--control"]:
            raise typer.BadParameter(f"{given[0]} and {given[1]} name different brokers: leave out one of them")
        if self.ca_file and (self.data_dir or self.control) and not names_others:
            raise typer.BadParameter("--ca-file requires --url or --profile")


def url_in_environment() -> str:
    """The default URL; empty for the broker on this machine."""
    return os.environ.get(URL_VARIABLE, "")


def at_broker(function: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """A command with the options that name a broker. The function receives a Target as its first argument."""
    return _with_options(function, names_others=False)


def between_brokers(function: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """The same for a command with more options that name brokers, to which --ca-file applies too."""
    return _with_options(function, names_others=True)


def _with_options(function: Callable[Concatenate[Target, P], None], names_others: bool) -> Callable[..., None]:
    def meant(**given: str | None) -> Target:
        target = Target(**given)
        target.check(names_others)
        return target

    options = {name: (annotation, None) for name, annotation in OPTIONS.items()}
    return grouped(function, next(iter(inspect.signature(function).parameters)), options, meant)


def reach(target: Target, online: Callable[[socket.socket], T], offline: Callable[[Path], T]) -> T:
    """Call online with a connection to the local target broker, or offline with its data directory if none runs.

    If offline raises AdministrationError or StoreError, the command ends with the reason and status 1.
    """
    data_dir, control = target.data_dir, target.control
    config = _load(data_dir, control)
    try:
        if config.control and not data_dir:
            place = Path(config.control)
            client = control_path.connect(place, _source(place.parent, config))
            if client is None:
                refuse(f"no broker is listening on {place}; start one with `leveret serve --control {place}`")
            return online(client)
        return _reach_directory(_directory(data_dir, config), config, online, offline)
    except ControlError as error:
        refuse(str(error))


def dial(target: Target) -> socket.socket | None:
    """A connection to the control socket of the local target broker; None if no broker is running.

    Raises: ControlError.
    """
    config = _load(target.data_dir, target.control)
    if config.control and not target.data_dir:
        place = Path(config.control)
        return control_path.connect(place, _source(place.parent, config))
    directory = _directory(target.data_dir, config)
    return control_path.connect(control_path.find(directory), _source(directory, config))


def local_name(target: Target) -> str:
    """The name of the local target broker: its control socket or data directory."""
    config = _load(target.data_dir, target.control)
    if config.control and not target.data_dir:
        return config.control
    return config.data_dir


def find_directory(data_dir: str | None) -> Path:
    """The target data directory. If it cannot be trusted, the command ends with the reason and status 1."""
    return _directory(data_dir, _load(data_dir, None))


def check_target(directory: Path) -> None:
    """Check that a directory can be trusted with a copy. If not, the command ends with the reason and status 1."""
    if _load(None, None).trust_data_dir:
        return
    try:
        check(directory, False)
    except Untrusted as error:
        refuse(f"{error}; choose another directory for the copy; it is created if it does not exist")


def _load(data_dir: str | None, control: str | None) -> Config:
    try:
        return load({"data-dir": data_dir, "control": control}, serving=False)
    except ConfigError as error:
        refuse(str(error))


def _directory(data_dir: str | None, config: Config) -> Path:
    directory = Path(config.data_dir)
    is_named = config.data_dir != DEFAULTS.data_dir or bool(data_dir) or "LEVERET_DATA_DIR" in os.environ
    if not is_named and not os.path.exists(directory):  # create no data in an unnamed place
        refuse(
            f"there is no data and no broker in '{directory}' here; name a broker with --data-dir, --control or --url, "
            "or start one with `leveret serve`. A broker without a data directory (--memory, --cluster) needs --url, "
            "or --control if it was started with --control"
        )
    _check_trust(directory, is_named, config)
    return directory


def _check_trust(directory: Path, is_named: bool, config: Config) -> None:
    """Refuse a directory where another user could intercept requests."""
    if config.trust_data_dir:
        return
    try:
        check(directory, is_named)
    except Untrusted as error:
        if error.is_foreign:
            refuse(f"{error}, and was not named explicitly; to use it, give --data-dir {directory}")
        refuse(f"{error}; change that with chmod, or set LEVERET_TRUST_DATA_DIR=true to use it anyway")


def _source(directory: Path, config: Config) -> Path | None:
    return None if config.trust_data_dir else directory


def _reach_directory(
    directory: Path, config: Config, online: Callable[[socket.socket], T], offline: Callable[[Path], T]
) -> T:
    deadline = time.monotonic() + START_S
    while True:
        client = control_path.connect(control_path.find(directory), _source(directory, config))
        if client is not None:
            return online(client)
        from leveret.core.errors.administration import AdministrationError
        from leveret.store.chunk_store import StoreError
        from leveret.store.database import DirectoryInUse

        try:
            return offline(directory)
        except DirectoryInUse:
            if time.monotonic() > deadline:
                refuse(
                    f"data directory '{directory}' is in use, but no broker answers there; "
                    "give its control socket with --control, or stop the broker and try again"
                )
        except (AdministrationError, StoreError) as error:
            refuse(str(error))
        time.sleep(0.1)


class BrokerError(Exception):
    """The broker refused a request, or the connection was lost (is_gone). The text says which."""

    def __init__(self, text: str, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone


class Link:
    """A connection to the control socket of a broker. data: the binary data of the last answer."""

    def __init__(self, client: socket.socket) -> None:
        self.data = b""
        self._client = client
        self._answers = client.makefile("rb")

    def ask(self, verb: str, arguments: dict[str, object], data: bytes = b"") -> object:
        """Perform a verb and return its answer. Raises: BrokerError."""
        self._send(verb, arguments, data)
        return self._receive()

    def stream(self, verb: str, arguments: dict[str, object], data: bytes = b"") -> Iterator[dict[str, Any]]:
        """Perform a verb and yield each answer; `data` belongs to the latest one. Raises: BrokerError."""
        self._send(verb, arguments, data)
        more = True
        while more:
            answer = self._receive()
            assert isinstance(answer, dict)
            more = answer["more"]
            yield answer

    def _send(self, verb: str, arguments: dict[str, object], data: bytes) -> None:
        request: dict[str, object] = {"verb": verb, "arguments": arguments}
        if data:
            request["bytes"] = len(data)
        try:
            line = json.dumps(request).encode()
        except RecursionError:
            raise BrokerError("the request is nested too deep") from None
        with contextlib.suppress(OSError):  # _receive() reports the failure
            self._client.sendall(line + b"\n" + data)

    def _receive(self) -> object:
        try:
            line = self._answers.readline()
            answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"bytes": 1}
            size = answer.get("bytes", 0)
            self.data = self._answers.read(size)
        except OSError:
            self.data, size = b"", 1
        if len(self.data) < size:
            raise BrokerError("the broker closed the connection before it answered; see its log", True)
        if "error" in answer:
            raise BrokerError(answer["error"])
        return answer["result"]

    def detach(self) -> socket.socket:
        """Hand over the socket to the caller."""
        self._answers.close()
        return self._client

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self._client.close()
