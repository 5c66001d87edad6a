"""Where a verb is done: by the broker that runs on the data directory, else on the data directory itself."""

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

START_S = 3.0  # how long a broker may take from opening its data to its control socket

PANEL = "Which broker"
URL_VARIABLE = "LEVERET_URL"

DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        help="Data directory of the broker, LEVERET_DATA_DIR or leveret-data by default.",
        rich_help_panel=PANEL,
    ),
]
OPTIONS: dict[str, Any] = {
    "data_dir": DataDir,
    "control": Annotated[
        str | None,
        typer.Option(
            help="Control socket of the broker, if it is not in its data directory.",
            rich_help_panel=PANEL,
        ),
    ],
    "url": Annotated[
        str | None,
        typer.Option(
            help="A broker somewhere: http://USER:PASSWORD@HOST:15672. LEVERET_URL says it too.", rich_help_panel=PANEL
        ),
    ],
    "profile": Annotated[
        str | None, typer.Option(help="A URL that `leveret profiles add` has kept.", rich_help_panel=PANEL)
    ],
    "ca_file": Annotated[str | None, typer.Option(help="CAs that are believed, for https://.", rich_help_panel=PANEL)],
}


@dataclass(frozen=True)
class Target:
    """The broker that is meant: by its data directory or control socket on this machine, or by a URL or profile."""

    data_dir: str | None = None
    control: str | None = None
    url: str | None = None
    profile: str | None = None
    ca_file: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the HTTP API is to be asked. LEVERET_URL counts where nothing is given."""
        if self.data_dir or self.control:
            return False
        return bool(self.url or self.profile or url_in_environment())

    def check(self, names_others: bool) -> None:
        """Refuse what means two brokers. names_others: other options have URLs too. Raises: typer.BadParameter."""
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
            raise typer.BadParameter(f"{given[0]} and {given[1]} mean different brokers: leave out one of them")
        if self.ca_file and (self.data_dir or self.control) and not names_others:
            raise typer.BadParameter("--ca-file is for a broker that is named with --url")


def url_in_environment() -> str:
    """The broker that is meant where nothing else is said; empty for the one on this machine."""
    return os.environ.get(URL_VARIABLE, "")


def at_broker(function: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """A command with the options that say which broker is meant; the function gets them as its first argument."""
    return _with_options(function, names_others=False)


def between_brokers(function: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """The same for a command with options of its own for other brokers, for which --ca-file counts as well."""
    return _with_options(function, names_others=True)


def _with_options(function: Callable[Concatenate[Target, P], None], names_others: bool) -> Callable[..., None]:
    def meant(**given: str | None) -> Target:
        target = Target(**given)
        target.check(names_others)
        return target

    options = {name: (annotation, None) for name, annotation in OPTIONS.items()}
    return grouped(function, next(iter(inspect.signature(function).parameters)), options, meant)


def reach(target: Target, online: Callable[[socket.socket], T], offline: Callable[[Path], T]) -> T:
    """Do something with the broker of this machine that was meant, or with the data directory where there is none.

    What offline raises ends the command with its reason and status 1: AdministrationError, StoreError.
    """
    data_dir, control = target.data_dir, target.control
    config = _load(data_dir, control)
    try:
        if config.control and not data_dir:
            place = Path(config.control)
            client = control_path.connect(place, _source(place.parent, config))
            if client is None:
                refuse(f"no broker listens on {place}; start one with `leveret serve --control {place}`")
            return online(client)
        return _reach_directory(_directory(data_dir, config), config, online, offline)
    except ControlError as error:
        refuse(str(error))


def dial(target: Target) -> socket.socket | None:
    """A connection to the control socket of the broker on this machine that is meant; None if none runs.

    Raises: ControlError.
    """
    config = _load(target.data_dir, target.control)
    if config.control and not target.data_dir:
        place = Path(config.control)
        return control_path.connect(place, _source(place.parent, config))
    directory = _directory(target.data_dir, config)
    return control_path.connect(control_path.find(directory), _source(directory, config))


def local_name(target: Target) -> str:
    """How the broker on this machine is called that is meant."""
    config = _load(target.data_dir, target.control)
    if config.control and not target.data_dir:
        return config.control
    return config.data_dir


def find_directory(data_dir: str | None) -> Path:
    """The data directory that was meant. One that may not be trusted ends the command with the reason and status 1."""
    return _directory(data_dir, _load(data_dir, None))


def check_target(directory: Path) -> None:
    """Whether a directory may be trusted with a copy. Else the command ends with the reason and status 1."""
    if _load(None, None).trust_data_dir:
        return
    try:
        check(directory, False)
    except Untrusted as error:
        refuse(f"{error}; choose another directory for the copy, it is made if it is not there")


def _load(data_dir: str | None, control: str | None) -> Config:
    try:
        return load({"data-dir": data_dir, "control": control}, serving=False)
    except ConfigError as error:
        refuse(str(error))


def _directory(data_dir: str | None, config: Config) -> Path:
    directory = Path(config.data_dir)
    is_named = config.data_dir != DEFAULTS.data_dir or bool(data_dir) or "LEVERET_DATA_DIR" in os.environ
    if not is_named and not os.path.exists(directory):  # no data is made in a place that nobody has named
        refuse(
            f"there is no data and no broker in '{directory}' here; say where with --data-dir, --control or --url, or "
            "start one with `leveret serve`. "
            "What changes something makes a data directory that is named"
        )
    _check_trust(directory, is_named, config)
    return directory


def _check_trust(directory: Path, is_named: bool, config: Config) -> None:
    """See to it that nothing is sent where a stranger may wait for it."""
    if config.trust_data_dir:
        return
    try:
        check(directory, is_named)
    except Untrusted as error:
        if error.is_foreign:
            refuse(f"{error}, and was only found here; if it is meant, say so with --data-dir {directory}")
        refuse(f"{error}; change that with chmod, or set LEVERET_TRUST_DATA_DIR=true to trust it all the same")


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
        from leveret.store.database import DirectoryInUse, StoreError

        try:
            return offline(directory)
        except DirectoryInUse:
            if time.monotonic() > deadline:
                refuse(
                    f"data directory '{directory}' is in use, but no broker answers there; "
                    "say where its control socket is with --control, or stop the broker and try again"
                )
        except (AdministrationError, StoreError) as error:
            refuse(str(error))
        time.sleep(0.1)


class BrokerError(Exception):
    """The broker refused something, or went away; the text says so. is_gone: the latter."""

    def __init__(self, text: str, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone


class Link:
    """A connection to the control socket of a broker. data: bytes that came with the last answer."""

    def __init__(self, client: socket.socket) -> None:
        self.data = b""
        self._client = client
        self._answers = client.makefile("rb")

    def ask(self, verb: str, arguments: dict[str, object], data: bytes = b"") -> object:
        """Do a verb and return what it answers. Raises: BrokerError."""
        self._send(verb, arguments, data)
        return self._receive()

    def stream(self, verb: str, arguments: dict[str, object], data: bytes = b"") -> Iterator[dict[str, Any]]:
        """Do a verb, and yield each of its answers; `data` is what came with that one. Raises: BrokerError."""
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
            raise BrokerError("lists and objects are nested too deep in what is asked") from None
        with contextlib.suppress(OSError):  # then there is no answer either
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
            raise BrokerError("the broker went away before it answered; look at its log", True)
        if "error" in answer:
            raise BrokerError(answer["error"])
        return answer["result"]

    def detach(self) -> socket.socket:
        """The socket, which is somebody else's from now on."""
        self._answers.close()
        return self._client

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self._client.close()
