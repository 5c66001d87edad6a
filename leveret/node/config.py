"""Config: all settings of `leveret serve`, each declared once.

A declaration consists of name, type, default and a Setting. It defines the option of `leveret serve` with its help, the
LEVERET_* variable, the key of the TOML file, the checks of a value, the shell completion, and the entry in
docs/settings.md. loading.py checks combinations of settings.
"""

# No lazy annotations here: msgspec would compile each of them twice at every start.
from typing import Annotated, Final, Literal, get_args

import msgspec

from leveret.core.errors.bounds import MAX_MS
from leveret.node.kinds import (
    MAX_NUMBER,
    Choice,
    Kind,
    Levels,
    Names,
    NodeName,
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
CLUSTER: Final = "Cluster"
CLIENTS: Final = "Clients and messages"
MEMORY: Final = "Memory and disk"
RUNNING: Final = "The process"
GROUPS: Final = (ADDRESSES, MANAGEMENT, TELEMETRY, TLS, DATA, CLUSTER, CLIENTS, MEMORY, RUNNING)

SWITCH: Final = Switch()
PORT: Final = Whole(1, 65_535, zero="a free port")
STANDARD: Final = "env"  # this value of otlp-endpoint means: use the standard variables of OpenTelemetry


class Setting(msgspec.Struct, frozen=True):
    """The description of a setting.

    help: one or two sentences. default: the default in words, if the value itself does not say it. see: the page that
    explains it, relative to docs.
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
    port: Annotated[int, Setting(ADDRESSES, PORT, "Port to listen on; 0 for a free port.")] = 5672
    control: Annotated[
        str,
        Setting(
            ADDRESSES,
            Text("the path of a socket, of at most 100 bytes", "PATH", "the default"),
            "Path of the control socket, which the other commands use to reach the broker.",
            "control.sock in the data directory, none with --memory",
            "administration.md",
        ),
    ] = ""

    management_port: Annotated[
        int | None,
        Setting(
            MANAGEMENT,
            PortOrOff(1, 65_535, zero="a free port"),
            "Port of the HTTP API; 0 for a free port. If you set a port that is not available, the broker does not "
            "start.",
            "15672 if free, off with --ephemeral",
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
        Setting(
            MANAGEMENT, SWITCH, "Use HTTPS for the HTTP API, with the certificate of --tls-certificate.", see="api.md"
        ),
    ] = False
    management_prefix: Annotated[
        str,
        Setting(
            MANAGEMENT,
            Prefix("the beginning of a path like /leveret", "PATH", "none"),
            "Prefix of all paths of the HTTP API, for a proxy that does not strip it.",
            "none",
            "api.md",
        ),
    ] = ""
    metrics_port: Annotated[
        int | None,
        Setting(
            MANAGEMENT,
            PortOrOff(1, 65_535, zero="a free port"),
            "Separate port for metrics, without a login; 0 for a free port. RabbitMQ uses 15692.",
            "off; /metrics is on the port of the HTTP API",
            "metrics.md",
        ),
    ] = None

    statistics_interval_ms: Annotated[
        int,
        Setting(
            MANAGEMENT,
            Whole(50, 3_600_000, "milliseconds"),
            "Interval between two samples of the counters, for rates and charts of the HTTP API.",
            see="api.md",
        ),
    ] = 5_000
    open_metrics: Annotated[
        bool,
        Setting(
            MANAGEMENT,
            SWITCH,
            "Serve metrics on the port of the HTTP API without a login. By default they require a user with the tag "
            "monitoring or administrator.",
            see="metrics.md",
        ),
    ] = False

    otlp_endpoint: Annotated[
        str,
        Setting(
            TELEMETRY,
            Url(STANDARD, "the standard variables of OpenTelemetry"),
            "Send a span for each publish, delivery and HTTP API request to this OpenTelemetry collector. Requires the "
            "extra opentelemetry.",
            "none: no spans",
            "telemetry.md",
        ),
    ] = ""
    otlp_ratio: Annotated[
        float | None,
        Setting(
            TELEMETRY,
            Share("only messages that clients trace"),
            "Share of messages and requests to trace. It applies to those that have no trace context from the client.",
            "the value of OTEL_TRACES_SAMPLER, otherwise 1",
            "telemetry.md#sampling",
        ),
    ] = None
    otlp_limit: Annotated[
        int,
        Setting(
            TELEMETRY,
            Whole(1, 100_000),
            "Maximum number of spans per second, separately for publishes, deliveries and requests.",
            see="telemetry.md#sampling",
        ),
    ] = 1_000

    tls_port: Annotated[
        int | None,
        Setting(
            TLS,
            PORT,
            "Port for TLS clients, on the same address; 0 for a free port.",
            "5671 with a certificate, otherwise none",
            "configuration.md#tls",
        ),
    ] = None
    tls_certificate: Annotated[
        str,
        Setting(
            TLS,
            _pem("no TLS"),
            "PEM file with the server certificate, followed by the intermediate certificates.",
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
            _pem("no client certificates"),
            "PEM file with CA certificates. The broker requests client certificates, and refuses those that these CAs "
            "did not issue.",
            "none: the broker requests no client certificates",
            "configuration.md#tls",
        ),
    ] = ""
    tls_require_client_certificate: Annotated[
        bool, Setting(TLS, SWITCH, "Refuse clients without a certificate.", see="configuration.md#tls")
    ] = False

    data_dir: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a directory", "DIRECTORY"),
            "Directory for durable data; created if it does not exist.",
            see="durability.md",
        ),
    ] = "leveret-data"
    trust_data_dir: Annotated[
        bool,
        Setting(
            DATA,
            SWITCH,
            "Use the data directory even if it belongs to another user, or if any user can write to it.",
            see="configuration.md#data-directory-ownership",
        ),
    ] = False
    memory: Annotated[
        bool,
        Setting(
            DATA, SWITCH, "Keep all data in memory, without a data directory. The data is lost when the broker stops."
        ),
    ] = False
    definitions: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a definitions file", "FILE", "none"),
            "Definitions file to import at each start. The broker does not start if the file contains an error.",
            "none",
            "administration.md#definitions",
        ),
    ] = ""
    record: Annotated[
        str,
        Setting(
            DATA,
            Text("the path of a file", "FILE", "none"),
            "File that records all messages and events of the broker. An existing file is overwritten.",
            "none",
            "testing/recording.md",
        ),
    ] = ""

    cluster: Annotated[
        str,
        Setting(
            CLUSTER,
            Text("a URL like postgresql://USER@HOST/DATABASE, without a password", "URL", "a data directory"),
            "PostgreSQL database that stores all durable data, prepared with `leveret cluster init`, instead of a data "
            "directory. Requires the extra cluster.",
            "none: a data directory",
            "cluster.md",
        ),
    ] = ""
    cluster_password_file: Annotated[
        str,
        Setting(
            CLUSTER,
            Text("the path of a file", "FILE", "none"),
            "File with the password for the database, alone on one line. Other ways are the variables "
            "LEVERET_CLUSTER_PASSWORD and PGPASSWORD, and ~/.pgpass.",
            "none",
            "cluster.md#password",
        ),
    ] = ""
    node: Annotated[
        str,
        Setting(
            CLUSTER,
            NodeName("a name of letters, digits, '.', '-' and '_'", "NAME", "the name of this machine"),
            "Name of this node in log entries and in the database.",
            "the name of this machine",
            "cluster.md",
        ),
    ] = ""
    standby: Annotated[
        bool,
        Setting(
            CLUSTER,
            SWITCH,
            "Wait until no other node lives, then serve all queues alone. Without it, nodes share the queues.",
            see="cluster.md#one-node-serves-others-wait",
        ),
    ] = False

    loopback_users: Annotated[
        tuple[str, ...],
        Setting(CLIENTS, Names(), "Users who may only log in from this machine."),
    ] = ("guest",)
    max_connections: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="no limit"),
            "Maximum number of open connections; one more is refused with 530. 0 for no limit.",
        ),
    ] = 0
    max_channels: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="no limit"),
            "Maximum number of open channels of all connections; one more closes its connection with 530. 0 for no "
            "limit.",
        ),
    ] = 0
    max_consumers_per_channel: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER, zero="no limit"),
            "Maximum number of consumers per channel; one more closes its connection with 530. 0 for no limit.",
        ),
    ] = 0
    max_unauthenticated_connections: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_NUMBER),
            "Maximum number of connections that have not logged in yet.",
            see="configuration.md#connections-before-login",
        ),
    ] = 15_000
    max_message_size: Annotated[
        int,
        Setting(
            CLIENTS,
            Size(1, MAX_CONTENT_SIZE),
            "Maximum size of a message body in bytes; a larger one closes its channel with 406.",
        ),
    ] = MAX_MESSAGE_SIZE
    consumer_timeout_ms: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1, MAX_MS, "milliseconds", "no limit"),
            "Time in which a consumer must acknowledge a delivery, before its channel is closed; 0 for no limit. The "
            "argument x-consumer-timeout of a queue takes precedence.",
        ),
    ] = 1_800_000
    send_timeout_ms: Annotated[
        int,
        Setting(
            CLIENTS,
            Whole(1_000, 86_400_000, "milliseconds", "no limit"),
            "Time after which the broker disconnects a client that does not read a single byte of the data sent to it; "
            "0 for no limit.",
            see="configuration.md#unresponsive-clients",
        ),
    ] = 30_000

    memory_budget: Annotated[
        int,
        Setting(
            MEMORY,
            Size(1, zero="a quarter of the memory"),
            "Approximate maximum memory for messages in bytes; above it, messages are paged out to disk. Publishers "
            "are blocked while messages that cannot be paged out need more memory than that.",
            "a quarter of the memory of the machine or control group",
            "performance.md#memory",
        ),
    ] = 0
    memory_high_watermark: Annotated[
        float,
        Setting(
            MEMORY,
            Share("no limit"),
            "Share of the machine's memory, or of the limit of the process's control group, above which publishers are "
            "blocked; 0 for no limit.",
            see="configuration.md#alarms",
        ),
    ] = 0.6
    disk_free_limit: Annotated[
        int,
        Setting(
            MEMORY,
            Size(1, zero="no limit"),
            "Free disk space in bytes below which publishers are blocked; 0 for no limit.",
            see="configuration.md#alarms",
        ),
    ] = 50_000_000

    log_level: Annotated[
        str,
        Setting(
            RUNNING,
            Levels(),
            "Level of the log on standard error, for all areas or for single ones. `leveret logs level` changes it "
            "while the broker runs.",
            see="configuration.md#log",
        ),
    ] = "warning"
    log_format: Annotated[
        LogFormat,
        Setting(
            RUNNING,
            Choice(get_args(LogFormat)),
            "Format of log entries: a line of text or a JSON object.",
            see="configuration.md#log",
        ),
    ] = "text"
    ephemeral: Annotated[
        bool,
        Setting(
            RUNNING,
            SWITCH,
            "For tests: keep data in memory and use a free port, unless a data directory or port is given. Stop when "
            "the process that started the broker ends, or when a pipe at standard input is closed.",
            see="testing/languages.md",
        ),
    ] = False
    json: Annotated[
        bool,
        Setting(
            RUNNING,
            SWITCH,
            "Print the ready line as a JSON object.",
            see="testing/languages.md",
        ),
    ] = False


class Declared(msgspec.Struct, frozen=True):
    """A setting with its names: attribute, option, variable and TOML key."""

    attribute: str
    default: object
    setting: Setting

    @property
    def name(self) -> str:
        """The TOML key; the option without its dashes."""
        return self.attribute.replace("_", "-")

    @property
    def option(self) -> str:
        """The option of `leveret serve`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.attribute.upper()

    @property
    def default_words(self) -> str:
        """The default in words."""
        return self.setting.default or self.setting.kind.show(self.default)


SETTINGS: Final = {
    declared.name: declared
    for declared in (
        Declared(field.name, field.default, field.type.__metadata__[0]) for field in msgspec.structs.fields(Config)
    )
}
"""All settings by name, in the order of their declaration."""

CONFIG_FILE: Final = Declared(
    "config",
    None,
    Setting(
        RUNNING,
        Text("the path of a TOML file", "FILE"),
        "TOML file with settings. Options and environment variables take precedence.",
        "none",
        "configuration.md",
    ),
)
"""The path of the settings file, which cannot be set in the file itself."""

OPTIONS: Final = {**SETTINGS, CONFIG_FILE.name: CONFIG_FILE}
"""All options of `leveret serve`, by name without the dashes."""
