"""The intended differences from RabbitMQ's answers, and their reasons. All other answers must be the same."""

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
        "Leveret runs no Erlang applications or plugins, and lists its own login mechanisms and files.",
    ),
    Stated(NODE, r"body(\[<name>\])?\.db_dir is .*, not .*", "The path of the data directory differs."),
    Stated(
        NODE,
        r"body(\[<name>\])?\.exchange_types\[x-[\w-]+\] is .*",
        "Leveret lists its own exchange types.",
    ),
    Stated(
        r"GET (overview|health/checks/p).*",
        r"body\.(listeners|ports|protocols)\[(clustering|<int> #\d)\] is missing",
        "Leveret has no port for a cluster.",
    ),
    Stated(
        NODE,
        r".*\.(socket_opts\.\w+ is missing|socket_opts is .*, not .*|cowboy_opts is .*, not .*)",
        "RabbitMQ's socket options are those of Erlang and of its HTTP server.",
    ),
    Stated(r"GET extensions.*", r"body\[[123]\] is missing", "No plugin adds pages to the web UI."),
    Stated(r"GET nodes/{node}/memory/ets", r"body\.ets_tables_memory\..* is missing", "Leveret has no ETS tables."),
    Stated(
        r"GET feature-flags.*",
        rf"body\[({'|'.join(FLAGS)})\] is missing",
        "Leveret lists the feature flags whose effect it has: none for streams and clusters.",
    ),
    Stated(
        r"GET feature-flags.*",
        r"body\[(rabbitmq_4\.2\.0|tie_binding\w+)\]\.callbacks\[enable\] is missing",
        "All feature flags are enabled, so none has a migration callback.",
    ),
    Stated(
        r"GET deprecated-features( .*)?",
        r"body\[\w+\] is missing|body\[global_qos\]\..*",
        "Leveret lists the deprecated features that it has; it keeps the prefetch for a whole channel.",
    ),
    Stated(
        r"GET (global-parameters|definitions)( .*)?",
        r"body(\.global_parameters)?\[(cluster_tags|internal_cluster_id)\] is missing",
        "Leveret lists only global parameters that a user has set.",
    ),
    Stated(
        r"GET (exchanges|definitions)( .*)?",
        r"body(\.exchanges)?\[amq\.rabbitmq\.log /\] is missing",
        "Leveret has no exchange for log lines.",
    ),
    Stated(
        r"GET definitions.*",
        r"body\.exchanges\[inner( scene)?\] is more than there is",
        "Definitions include internal exchanges, which RabbitMQ's exports lack.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[.*\])?\.user_who_performed_action is 'rmq-internal', not 'guest'",
        "The broker is named as the creator of predeclared exchanges, not the user who created the virtual host.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[ledger.*\])?\."
        r"(open_files|publishers) is missing",
        "A quorum queue is not a Raft state machine in Leveret, with its own files and publishers.",
    ),
    Stated(
        r"GET queues/quorum/.*/status.*",
        r"body\[.*\]\.([\w ]+ Index|Last (Applied|Written)|Machine Version|Term) is missing",
        "Queues are not replicated, so there are no Raft indexes.",
    ),
    Stated(
        READING,
        r"body\..*\.?(reductions|disk_reads|disk_writes)_details\.samples\[0\] is missing",
        "Values that Leveret does not count have no samples.",
    ),
    Stated(
        READING,
        r"body(\.items)?(\[.*\])?\.head_message_timestamp is None, not '<int>'",
        "The head of a queue is its first ready message; RabbitMQ considers unacknowledged messages too.",
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
        "For a nested column Leveret returns only that column; RabbitMQ returns the whole outer one.",
    ),
    Stated(
        r"GET queues/scene/nothing/bindings",
        r"(status is 404, not 200|body is .*, not .*)",
        "A queue that does not exist has no binding to the default exchange.",
    ),
    Stated(
        r"POST queues/.*/get .*",
        r"body\[\d\]\.properties is {}, not \[\]",
        "Empty properties are an empty object, not an empty array.",
    ),
    Stated(
        r"POST exchanges/.*/publish .*None.*",
        r"(status is 200, not 400|body\.(error|reason) is missing)",
        "A header may be null, as in AMQP.",
    ),
    Stated(
        r"PUT parameters/nonsense/.*",
        r"(status is 201, not 400|headers\.content-type is missing|body is None, not .*)",
        "Parameters of unknown components are accepted and stored.",
    ),
    Stated(
        r"PUT users/made .*'hashing_algorithm': 'nonsense'.*",
        r"(status is 400, not 204|body is .*, not None)",
        "A hash that no password can match is refused.",
    ),
    # how it is refused
    Stated(
        rf"({'|'.join(BREAKS)}).*",
        r"(status is (200|40[01]), not 500|body is .*, not None)",
        "A request that RabbitMQ answers with 500 is refused, or executed if it is valid.",
    ),
    Stated(
        rf"{CHANGING}|GET aliveness-test/closed as adm",
        r"body\.reason is .*, not .*",
        "The reason is a sentence about the error; RabbitMQ's is an Erlang term, or less specific.",
    ),
)
