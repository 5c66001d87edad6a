"""Stated: where answers are meant to differ from RabbitMQ's, and why. Whatever is not here has to be the same."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """question, difference: patterns of the whole text, as `body.reason is 'this', not 'that'`. reason: a sentence."""

    question: str
    difference: str
    reason: str

    def explains(self, question: str, difference: str) -> bool:
        """Whether it says why this is so."""
        pairs = ((self.question, question), (self.difference, difference))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


READING = r"GET .*"
CHANGING = r"(PUT|POST|DELETE) .*"
NODE = r"GET (nodes|overview).*"
FLAGS = (
    "classic_mirrored_queue_version",
    "classic_queue_type_delivery_support",
    "khepri_db",
    "listener_records_in_ets",
    "maintenance_mode_status",
    "message_containers",
    "quorum_queue_non_voters",
    "restart_streams",
    r"stream_\w+",
    r"topic_binding_projection_v\d",
    "track_qq_members_uids",
    "tracking_records_in_ets",
)
BREAKS = (  # RabbitMQ, with a 500
    "POST bindings/scene/e/made/z/idle",
    r"POST exchanges/scene/amq\.default/publish {'properties': \[\]",
    "PUT users/made {'password': 5",
    "PUT users/made {'password': 'x', 'tags': 5",
    "POST users/bulk-delete {'users': 'made'",
    "POST definitions {'queues': 5",
    "DELETE connections/{connection} as man",
)

STATED = (
    # what there is
    Stated(
        NODE,
        r"body(\[<name>\])?\.(applications|auth_mechanisms|config_files|enabled_plugins|log_files)\[.*\] is .*",
        "The broker runs no Erlang applications or plugins, and has the login mechanisms and files that there are.",
    ),
    Stated(NODE, r"body(\[<name>\])?\.db_dir is .*, not .*", "The data directory is where it is."),
    Stated(
        NODE,
        r"body(\[<name>\])?\.exchange_types\[x-[\w-]+\] is .*",
        "The exchange types are those that there are.",
    ),
    Stated(
        r"GET (overview|health/checks/p).*",
        r"body\.(listeners|ports|protocols)\[(clustering|<int> #\d)\] is missing",
        "There is no port for a cluster.",
    ),
    Stated(
        NODE,
        r".*\.(socket_opts\.\w+ is missing|socket_opts is .*, not .*|cowboy_opts is .*, not .*)",
        "What RabbitMQ tells of its sockets are options of Erlang and of its HTTP server.",
    ),
    Stated(r"GET extensions.*", r"body\[[123]\] is missing", "No plugin adds pages to the web UI."),
    Stated(r"GET nodes/{node}/memory/ets", r"body\.ets_tables_memory\..* is missing", "Erlang's tables are not here."),
    Stated(
        r"GET feature-flags.*",
        rf"body\[({'|'.join(FLAGS)})\] is missing",
        "Feature flags are those whose effect is here, without streams and what a cluster needs.",
    ),
    Stated(
        r"GET feature-flags.*",
        r"body\[(rabbitmq_4\.2\.0|tie_binding\w+)\]\.callbacks\[enable\] is missing",
        "There is nothing to migrate when a feature flag is enabled, as all are.",
    ),
    Stated(
        r"GET deprecated-features( .*)?",
        r"body\[\w+\] is missing|body\[global_qos\]\..*",
        "What RabbitMQ gives up is told of what is here; a prefetch for a whole channel is, and stays.",
    ),
    Stated(
        r"GET (global-parameters|definitions)( .*)?",
        r"body(\.global_parameters)?\[(cluster_tags|internal_cluster_id)\] is missing",
        "Global parameters are those that somebody has set.",
    ),
    Stated(
        r"GET (exchanges|definitions)( .*)?",
        r"body(\.exchanges)?\[amq\.rabbitmq\.log /\] is missing",
        "The log is not an exchange.",
    ),
    Stated(
        r"GET definitions.*",
        r"body\.exchanges\[inner( scene)?\] is more than there is",
        "Definitions have internal exchanges as well, which RabbitMQ loses on the way.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[.*\])?\.user_who_performed_action is 'rmq-internal', not 'guest'",
        "The exchanges of every virtual host are made by the broker, whoever makes the virtual host.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[ledger.*\])?\."
        r"(open_files|publishers) is missing",
        "A quorum queue is no state machine of Raft here, with files and publishers of its own.",
    ),
    Stated(
        r"GET queues/quorum/.*/status.*",
        r"body\[.*\]\.([\w ]+ Index|Last (Applied|Written)|Machine Version|Term) is missing",
        "Nothing is replicated, so there are no indexes of Raft.",
    ),
    Stated(
        READING,
        r"body\..*\.?(reductions|disk_reads|disk_writes)_details\.samples\[0\] is missing",
        "What is not counted has no samples.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[.*\])?\.head_message_timestamp is None, not '<int>'",
        "The head of a queue is the first message that is ready, where RabbitMQ looks at unacknowledged ones too.",
    ),
    Stated(
        r"GET queues/scene\?disable_stats=true&enable_queue_totals=true",
        r"body\[ledger.*\]\.exclusive is False, not None",
        "A quorum queue is not exclusive.",
    ),
    Stated(
        r"GET users.*",
        r"body(\[.*\])?\.hashing_algorithm is 'argon2', not .*",
        "Passwords are hashed with Argon2.",
    ),
    # what is asked
    Stated(
        r"GET .*columns=.*\..*",
        r"body(\[.*\])?\.(arguments|object_totals)\.[\w-]+ is missing",
        "A column inside another one is all that comes of it, where RabbitMQ tells all of the outer one.",
    ),
    Stated(
        r"GET queues/scene/nothing/bindings",
        r"(status is 404, not 200|body is .*, not .*)",
        "A queue that does not exist has no binding to the default exchange.",
    ),
    Stated(
        r"POST queues/.*/get .*",
        r"body\[\d\]\.properties is {}, not \[\]",
        "Properties are an object, even if there are none.",
    ),
    Stated(
        r"POST exchanges/.*/publish .*None.*",
        r"(status is 200, not 400|body\.(error|reason) is missing)",
        "A header may be null, as in AMQP.",
    ),
    Stated(
        r"PUT parameters/nonsense/.*",
        r"(status is 201, not 400|headers\.content-type is missing|body is None, not .*)",
        "Parameters are kept for whoever reads them, whatever they are for.",
    ),
    Stated(
        r"PUT users/made .*'hashing_algorithm': 'nonsense'.*",
        r"(status is 400, not 204|body is .*, not None)",
        "A hash that no password can fit is refused.",
    ),
    # how it is refused
    Stated(
        rf"({'|'.join(BREAKS)}).*",
        r"(status is (200|40[01]), not 500|body is .*, not None)",
        "A request that RabbitMQ breaks at with a 500 is refused, or done if there is nothing wrong with it.",
    ),
    Stated(
        rf"{CHANGING}|GET aliveness-test/closed as adm",
        r"body\.reason is .*, not .*",
        "The reason is a sentence that says what is wrong, where RabbitMQ has terms of Erlang or less to say.",
    ),
)
