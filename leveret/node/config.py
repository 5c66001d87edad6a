"""Configuration: one typed structure from a TOML file, LEVERET_* variables and command line options.

Later ones win: defaults, file, environment, command line.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from leveret.wire.constants import MAX_CONTENT_SIZE, MAX_MESSAGE_SIZE

LogLevel = Literal["debug", "info", "warning", "error"]
ENV_PREFIX = "LEVERET_"
MIN_SEND_TIMEOUT_MS = 1_000
MAX_SEND_TIMEOUT_MS = 86_400_000
LISTS = ("loopback-users",)  # settings with several values; in a variable or an option commas stand between them


class ConfigError(Exception):
    """A setting is wrong; the text names it and says what to do."""


class Config(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", frozen=True, kw_only=True):
    """All settings of `leveret serve`.

    data_dir: where durable things rest. memory: keep everything in memory instead.
    ephemeral: in memory and on a free port unless others are given, and an end with the process that has started it.
    json: print the ready line as JSON. record: file to which everything is written that passes through the broker.
    max_message_size: bytes that the body of a message may have.
    consumer_timeout_ms: how long a consumer may keep a delivery without an ack; 0 for ever.
    send_timeout_ms: how long a client may take nothing of what is sent to it; 0 for ever.
    disk_free_limit: bytes that should stay free for the data directory, 0 for any; publishers wait below it.
    memory_budget: bytes that messages may take; above, they rest on disk, or publishers wait; 0 for a share of memory.
    memory_high_watermark: share of the memory there is, from which on publishers wait; 0 for any.
    definitions: a definitions file to import at the start. control: path of the control socket; empty for
    control.sock in the data directory, or none with memory.
    loopback_users: names that may only log in from this machine. max_connections: open at once; 0 for any number.
    max_unauthenticated_connections: of clients that have not logged in, at once.
    tls_certificate: PEM file with the certificate shown to clients, and those between it and its CA; empty for no TLS.
    tls_key: PEM file with its private key, empty for the same file. tls_port: None for 5671.
    tls_ca: PEM file with the CAs that certificates of clients have to come from; empty not to ask for any.
    """

    host: str = "127.0.0.1"
    port: int = 5672
    data_dir: str = "leveret-data"
    memory: bool = False
    ephemeral: bool = False
    json: bool = False
    record: str = ""
    log_level: LogLevel = "warning"
    max_message_size: int = MAX_MESSAGE_SIZE
    consumer_timeout_ms: int = 1_800_000
    send_timeout_ms: int = 30_000
    disk_free_limit: int = 50_000_000
    memory_budget: int = 0
    memory_high_watermark: float = 0.6
    definitions: str = ""
    control: str = ""
    loopback_users: tuple[str, ...] = ("guest",)
    max_connections: int = 0
    max_unauthenticated_connections: int = 15_000
    tls_port: int | None = None
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_require_client_certificate: bool = False


def read_options(arguments: list[str]) -> dict[str, object] | None:
    """Settings from a command line of nothing but `--name value`, `--name=value` and `--flag`; `config` among them.

    Returns: None when there is anything else, so that somebody has to look who can explain and complain.
    """
    names = {field.encode_name: field.type for field in msgspec.structs.fields(Config)}
    names["config"] = str
    found: dict[str, object] = {}
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in names:
            return None
        if names[name] is bool:
            if equals:
                return None
            found[name] = True
        else:
            given = value if equals else next(left, None)
            if given is None:
                return None
            found[name] = given
    return found


def _from_file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path given with --config") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid TOML: it is nested too deep") from None
    except ValueError as error:  # or it is not UTF-8
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _from_environment() -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Config):
        value = os.environ.get(ENV_PREFIX + field.name.upper())
        if value is not None:
            found[field.encode_name] = _split(field.encode_name, value)
    return found


def _split(name: str, value: object) -> object:
    """The value of a setting as it stands in a variable or an option."""
    if name not in LISTS or not isinstance(value, str):
        return value
    return value.split(",") if value else []


def _convert(values: dict[str, object], where: str) -> Config:
    """Check values on top of the defaults. Raises: ConfigError that says where they came from."""
    try:
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"bad setting in {where}: {error}") from None
    if not 0 <= config.port <= 65535:
        raise ConfigError(f"bad setting in {where}: port {config.port} is not between 0 and 65535")
    if config.tls_port is not None and not 0 <= config.tls_port <= 65535:
        raise ConfigError(f"bad setting in {where}: tls-port {config.tls_port} is not between 0 and 65535")
    if config.consumer_timeout_ms < 0:
        raise ConfigError(f"bad setting in {where}: consumer-timeout-ms is negative; 0 means no limit")
    if config.send_timeout_ms and not MIN_SEND_TIMEOUT_MS <= config.send_timeout_ms <= MAX_SEND_TIMEOUT_MS:
        limits = f"between {MIN_SEND_TIMEOUT_MS} and {MAX_SEND_TIMEOUT_MS}; 0 means any time"
        raise ConfigError(f"bad setting in {where}: send-timeout-ms {config.send_timeout_ms} is not {limits}")
    if config.max_connections < 0:
        raise ConfigError(f"bad setting in {where}: max-connections is negative; 0 means no limit")
    if config.max_unauthenticated_connections < 1:
        wrong = "max-unauthenticated-connections is less than 1, so nobody could log in"
        raise ConfigError(f"bad setting in {where}: {wrong}")
    if config.disk_free_limit < 0:
        raise ConfigError(f"bad setting in {where}: disk-free-limit is negative; 0 means no limit")
    if config.memory_budget < 0:
        raise ConfigError(f"bad setting in {where}: memory-budget is negative; 0 means a share of the memory there is")
    if not 0 <= config.memory_high_watermark <= 1:
        wrong = f"memory-high-watermark {config.memory_high_watermark} is not between 0 and 1; 0 means no limit"
        raise ConfigError(f"bad setting in {where}: {wrong}")
    if not 1 <= config.max_message_size <= MAX_CONTENT_SIZE:
        wrong = f"max-message-size {config.max_message_size} is not between 1 and {MAX_CONTENT_SIZE} bytes"
        raise ConfigError(f"bad setting in {where}: {wrong}")
    return config


def _check_tls(config: Config) -> None:
    """Whether the settings for TLS go together. Raises: ConfigError."""
    if config.tls_require_client_certificate and not config.tls_ca:
        wrong = "tls-require-client-certificate needs to know whose certificates are good: give the CAs with tls-ca"
        raise ConfigError(f"bad setting: {wrong}")
    if config.tls_certificate:
        return
    without = {"tls-port": config.tls_port is not None, "tls-key": config.tls_key, "tls-ca": config.tls_ca}
    for name, is_given in without.items():
        if is_given:
            raise ConfigError(f"bad setting: {name} needs a certificate to show: give it with tls-certificate")


def load(path: Path | None, options: dict[str, object]) -> Config:
    """Put the configuration together. options: given on the command line, None for those that are not.

    Raises: ConfigError.
    """
    merged: dict[str, object] = {}
    if path is None and ENV_PREFIX + "CONFIG" in os.environ:
        path = Path(os.environ[ENV_PREFIX + "CONFIG"])
    if path is not None:
        merged = _from_file(path)
        _convert(merged, str(path))
    environment = _from_environment()
    _convert(environment, "the environment (LEVERET_*)")
    given = {name: _split(name, value) for name, value in options.items() if value is not None}
    _convert(given, "the command line")
    values = {**merged, **environment, **given}
    config = _convert(values, "the configuration")
    if config.ephemeral:
        tls = {"tls-port": 0} if config.tls_certificate else {}
        config = _convert({"port": 0, "memory": "data-dir" not in values, **tls, **values}, "the configuration")
    _check_tls(config)
    return config
