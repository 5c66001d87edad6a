"""Config: all settings of `leveret serve`, each declared once.

The declaration of a setting is its name, its type, its default and a Setting. From these come the option of `leveret
serve` and its help, the LEVERET_* variable, the key of the TOML file, all checks of one value, the completion of the
shell, and the page docs/settings.md. What several settings together have to be is checked in loading.py.
"""

# Annotations are evaluated as they stand, not kept as text: msgspec would compile each of them twice at every start.
from typing import Annotated, Final, Literal, get_args

import msgspec

from leveret.core.errors.bounds import MAX_MS
from leveret.node.kinds import (
    MAX_NUMBER,
    Choice,
    Kind,
    Levels,
    Names,
    PortOrOff,
    Prefix,
    Share,
    Size,
    Switch,
    Text,
    Url,
    Whole,
)
from leveret.wire.constants import MAX_CONTENT_SIZE, MAX_MESSAGE_SIZE

LogFormat = Literal["text", "json"]

ENV_PREFIX: Final = "LEVERET_"

ADDRESSES: Final = "Addresses"
MANAGEMENT: Final = "HTTP API"
TELEMETRY: Final = "OpenTelemetry"
TLS: Final = "TLS"
DATA: Final = "Data"
CLIENTS: Final = "Clients and messages"
MEMORY: Final = "Memory and disk"
RUNNING: Final = "The process"
GROUPS: Final = (ADDRESSES, MANAGEMENT, TELEMETRY, TLS, DATA, CLIENTS, MEMORY, RUNNING)

SWITCH: Final = Switch()
PORT: Final = Whole(1, 65_535, zero="a free port")
STANDARD: Final = "env"  # in the place of an endpoint


class Setting(msgspec.Struct, frozen=True):
    """What is said of a setting beside its name, its type and its default.

    help: one or two sentences. default: its default in words, where that is not the value itself. see: where the
    documentation says more, as seen from the folder docs.
    """

    group: str
    kind: Kind
    help: str
    default: str = ""
    see: str = ""


def _pem(otherwise: str) -> Text:
    return Text("the path of a PEM file", "FILE", otherwise)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of `leveret serve`."""

    host: Annotated[
        str,
        Setting(
            ADDRESSES,
            Text("an address or a name of this machine (0.0.0.0 or :: for all addresses)", "ADDRESS"),
            "Address to listen on.",
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Setting(ADDRESSES, PORT, "Port to listen on; 0 takes a free one.")] = 5672
    control: Annotated[
        str,
        Setting(
            ADDRESSES,
            Text("the path of a socket, of at most 100 bytes", "PATH", "the default"),
            "Path of the control socket, through which the other commands reach the broker.",
            "control.sock in the data directory, none with --memory",
            "administration.md",
        ),
    ] = ""

    management_port: Annotated[
        int | None,
        Setting(
            MANAGEMENT,
            PortOrOff(1, 65_535, zero="a free port"),
            "Port of the HTTP API; 0 takes a free one. One that is asked for and cannot be had keeps the broker from "
            "starting.",
            "15672 if it is free, off with --ephemeral",
            "api.md",
        ),
    ] = None
    management_host: Annotated[
        str,
        Setting(
            MANAGEMENT,
            Text("an address or a name of this machine", "ADDRESS", "that of --host"),
            "Address of the HTTP API.",
            "that of --host",
            "api.md",
        ),
    ] = ""
    management_tls: Annotated[
        bool,
        Setting(MANAGEMENT, SWITCH, "Speak HTTPS, with the certificate of --tls-certificate.", see="api.md"),
    ] = False
    management_prefix: Annotated[
        str,
        Setting(
            MANAGEMENT,
            Prefix("the beginning of a path like /leveret", "PATH", "none"),
            "What comes before all paths of the HTTP API, behind a proxy that leaves it there.",
            "none",
            "api.md",
        ),
    ] = ""
    metrics_port: Annotated[
        int | None,
        Setting(
            MANAGEMENT,
            PortOrOff(1, 65_535, zero="a free port"),
            "Another port for metrics alone, without a login; 0 takes a free one. RabbitMQ has them on 15692.",
            "off; /metrics is on the port of the HTTP API",
            "metrics.md",
        ),
    ] = None

    statistics_interval_ms: Annotated[
        int,
        Setting(
            MANAGEMENT,
            Whole(50, 3_600_000, "milliseconds"),
            "How long it is from one look at what is counted to the next, for the rates and curves of the HTTP API.",
            see="api.md",
        ),
    ] = 5_000
    open_metrics: Annotated[
        bool,
        Setting(
            MANAGEMENT,
            SWITCH,
            "Show the metrics on the port of the HTTP API to anybody; otherwise they need the login of a user with the "
            "tag monitoring or administrator.",
            see="metrics.md",
        ),
    ] = False

    otlp_endpoint: Annotated[
        str,
        Setting(
            TELEMETRY,
            Url(STANDARD, "what the variables of OpenTelemetry say"),
            "Send a span for each publish, delivery and request of the HTTP API to this OpenTelemetry collector. This "
            "needs the extra opentelemetry.",
            "none: no spans",
            "telemetry.md",
        ),
    ] = ""
    otlp_ratio: Annotated[
        float | None,
        Setting(
            TELEMETRY,
            Share("those that clients trace"),
            "Share of the messages and requests that get spans, of those that come without a trace of their client.",
            "what OTEL_TRACES_SAMPLER says, otherwise 1",
            "telemetry.md#sampling",
        ),
    ] = None
    otlp_limit: Annotated[
        int,
        Setting(
            TELEMETRY,
            Whole(1, 100_000),
            "Publishes, deliveries and requests a second that get spans, of each kind at most; the others get none.",
            see="telemetry.md#sampling",
        ),
    ] = 1_000

    tls_port: Annotated[
        int | None,
        Setting(
            TLS,
            PORT,
            "Port for clients that speak TLS, on the same address; 0 takes a free one.",
            "5671 with a certificate, otherwise none",
            "configuration.md#tls",
        ),
    ] = None
    tls_certificate: Annotated[
        str,
        Setting(
            TLS,
            _pem("no TLS"),
            "PEM file with the certificate that clients are shown, then those between it and its CA.",
            "no TLS",
            "configuration.md#tls",
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Setting(
            TLS,
            _pem("the file of the certificate"),
            "PEM file with the private key of the certificate, without a passphrase.",
            "the file of the certificate",
            "configuration.md#tls",
        ),
    ] = ""
    tls_ca: Annotated[
        str,
        Setting(
            TLS,
            _pem("no certificates of clients"),
            "PEM file with CAs. Clients are asked for a certificate, and one that comes from no CA in it is refused.",
            "clients are not asked for certificates",
            "configuration.md#tls",
        ),
    ] = ""
    tls_require_client_certificate: Annotated[
        bool, Setting(TLS, SWITCH, "Refuse clients that show no certificate.", see="configuration.md#tls")
    ] = False

    data_dir: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a directory", "DIRECTORY"),
            "Directory for everything durable, made if it is not there.",
            see="durability.md",
        ),
    ] = "leveret-data"
    trust_data_dir: Annotated[
        bool,
        Setting(
            DATA,
            SWITCH,
            "Use the data directory even if it belongs to another user, or everybody may write to it.",
            see="configuration.md#data-directory-ownership",
        ),
    ] = False
    memory: Annotated[
        bool, Setting(DATA, SWITCH, "Keep everything in memory, without a data directory: a restart loses it.")
    ] = False
    definitions: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a definitions file", "FILE", "none"),
            "Definitions file to import at each start. The broker does not start unless all of it can be imported.",
            "none",
            "administration.md#definitions",
        ),
    ] = ""
    record: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a file", "FILE", "none"),
            "File to write down everything that passes through the broker. It is made anew.",
            "none",
            "testing/recording.md",
        ),
    ] = ""

    loopback_users: Annotated[
        tuple[str, ...],
        Setting(CLIENTS, Names(), "Users who may log in from this machine only."),
    ] = ("guest",)
    max_connections: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="any number"),
            "Connections that may be open at once; one more is refused with 530. 0 allows any number.",
        ),
    ] = 0
    max_channels: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="any number"),
            "Channels that may be open at once, of all connections; one more closes its connection with 530. 0 allows "
            "any number.",
        ),
    ] = 0
    max_consumers_per_channel: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="any number"),
            "Consumers that a channel may have; one more closes its connection with 530. 0 allows any number.",
        ),
    ] = 0
    max_unauthenticated_connections: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER),
            "Clients that have not logged in, at once.",
            see="configuration.md#connections-before-login",
        ),
    ] = 15_000
    max_message_size: Annotated[
        int,
        Setting(
            CLIENTS,
            Size(1, MAX_CONTENT_SIZE),
            "Bytes that the body of a message may have; a larger one closes its channel with 406.",
        ),
    ] = MAX_MESSAGE_SIZE
    consumer_timeout_ms: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_MS, "milliseconds", "any time"),
            "How long a consumer may keep a delivery without acknowledging it before its channel is closed; 0 allows "
            "any time. The argument x-consumer-timeout of a queue goes first.",
        ),
    ] = 1_800_000
    send_timeout_ms: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1_000, 86_400_000, "milliseconds", "any time"),
            "How long a client may take nothing of what is sent to it, not a single byte, before it is cut off; 0 "
            "allows any time.",
            see="configuration.md#unresponsive-clients",
        ),
    ] = 30_000

    memory_budget: Annotated[
        int,
        Setting(
            MEMORY,
            Size(1, zero="a quarter of the memory"),
            "Bytes that messages may take, about. Above it they rest on disk until it is their turn, and publishers "
            "wait while those that cannot rest there need more.",
            "a quarter of the memory of the machine or control group",
            "performance.md#memory",
        ),
    ] = 0
    memory_high_watermark: Annotated[
        float,
        Setting(
            MEMORY,
            Share("no limit"),
            "Share of the memory of the machine, or of the control group of the process if that has a limit, above "
            "which publishers wait; 0 sets no limit.",
            see="configuration.md#alarms",
        ),
    ] = 0.6
    disk_free_limit: Annotated[
        int,
        Setting(
            MEMORY,
            Size(1, zero="no limit"),
            "Bytes that should stay free on the disk of the data directory; below, publishers wait. 0 sets no limit.",
            see="configuration.md#alarms",
        ),
    ] = 50_000_000

    log_level: Annotated[
        str,
        Setting(
            RUNNING,
            Levels(),
            "The least that is logged, on standard error, of all and of single areas; `leveret logs level` changes it.",
            see="configuration.md#log",
        ),
    ] = "warning"
    log_format: Annotated[
        LogFormat,
        Setting(
            RUNNING,
            Choice(get_args(LogFormat)),
            "Whether an entry of the log is a line of text or an object of JSON.",
            see="configuration.md#log",
        ),
    ] = "text"
    ephemeral: Annotated[
        bool,
        Setting(
            RUNNING,
            SWITCH,
            "For tests: in memory and on a free port, unless a data directory or a port is given, and an end with the "
            "process that has started it, or when the pipe that is standard input is closed.",
            see="testing/languages.md",
        ),
    ] = False
    json: Annotated[
        bool,
        Setting(
            RUNNING,
            SWITCH,
            "Print the ready line as an object of JSON.",
            see="testing/languages.md",
        ),
    ] = False


class Declared(msgspec.Struct, frozen=True):
    """A setting with its names: as an attribute, an option and a variable, and as a key of the TOML file."""

    attribute: str
    default: object
    setting: Setting

    @property
    def name(self) -> str:
        """The key of the TOML file; the option without its dashes."""
        return self.attribute.replace("_", "-")

    @property
    def option(self) -> str:
        """The option of `leveret serve`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return ENV_PREFIX + self.attribute.upper()

    @property
    def default_words(self) -> str:
        """The default, for people."""
        return self.setting.default or self.setting.kind.show(self.default)


SETTINGS: Final = {
    declared.name: declared
    for declared in (
        Declared(field.name, field.default, field.type.__metadata__[0]) for field in msgspec.structs.fields(Config)
    )
}
"""All settings by their names, in the order of their declaration."""

CONFIG_FILE: Final = Declared(
    "config",
    None,
    Setting(
        RUNNING,
        Text("the path of a TOML file", "FILE"),
        "TOML file with settings. Options and variables win over what it says.",
        "none",
        "configuration.md",
    ),
)
"""What says where the file with the settings is, which cannot stand in the file itself."""

OPTIONS: Final = {**SETTINGS, CONFIG_FILE.name: CONFIG_FILE}
"""All options of `leveret serve`, by their names without the dashes."""
