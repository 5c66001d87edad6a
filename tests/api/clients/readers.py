"""What monitoring tools read from RabbitMQ's answers, and of which types: Go and Java refuse any other.

The names are those that Telegraf's rabbitmq input, kbudde's rabbitmq_exporter, Go's rabbit-hole, Java's hop and KEDA's
scaler look for. What RabbitMQ 4.3 does not answer either is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

INT = (int,)
NUMBER = (int, float)
TEXT = (str,)
FLAG = (bool,)
LIST = (list,)
OBJECT = (dict,)
TEXT_OR_NULL = (str, type(None))

Types = tuple[type, ...]


@dataclass(frozen=True)
class Reader:
    """One struct of one tool. path: where it reads, with {node}. fields: paths with dots, of one item.

    where: the fields that tell which items of a list are read; all of them without any.
    """

    name: str
    path: str
    fields: dict[str, Types]
    where: tuple[tuple[str, str], ...] = ()


def each(names: str, types: Types) -> dict[str, Types]:
    """These fields, of one type."""
    return dict.fromkeys(names.split(), types)


def counted(names: str, below: str = "") -> dict[str, Types]:
    """These numbers, with their rates."""
    found: dict[str, Types] = {}
    for name in names.split():
        found[f"{below}{name}"] = INT
        found[f"{below}{name}_details.rate"] = NUMBER
    return found


def faults(reader: Reader, answer: Any) -> Iterator[str]:
    """What is missing, or of another type."""
    items = answer if isinstance(answer, list) else [answer]
    read = [item for item in items if all(item.get(name) == value for name, value in reader.where)]
    if not read:
        yield f"{reader.name}: nothing to read"
    for item in read:
        for path, types in reader.fields.items():
            value = item
            for name in path.split("."):
                value = value.get(name, "missing") if isinstance(value, dict) else "missing"
            if type(value) not in types or value == "missing":
                yield f"{reader.name}: {path} is {value!r}"


LENGTHS = "messages messages_ready messages_unacknowledged"
SIZES = "message_bytes message_bytes_ready message_bytes_unacknowledged message_bytes_ram message_bytes_persistent"
DELIVERIES = "ack deliver deliver_get deliver_no_ack get get_no_ack redeliver"
TOTALS = each(
    "object_totals.channels object_totals.connections object_totals.consumers object_totals.exchanges"
    " object_totals.queues",
    INT,
)
RESOURCES = (
    "disk_free disk_free_limit fd_total fd_used mem_limit mem_used proc_total proc_used run_queue sockets_total"
    " sockets_used uptime processors"
)
IO = (
    "gc_num gc_bytes_reclaimed context_switches io_read_count io_read_bytes io_write_count io_write_bytes io_sync_count"
    " io_seek_count io_reopen_count mnesia_ram_tx_count mnesia_disk_tx_count msg_store_read_count msg_store_write_count"
    " queue_index_write_count queue_index_read_count"
)
CHURN = "connection_created connection_closed channel_created channel_closed queue_declared queue_created queue_deleted"
MEMORY = (
    "connection_readers connection_writers connection_channels connection_other queue_procs plugins other_proc metrics"
    " mgmt_db mnesia other_ets binary msg_index code atom other_system allocated_unused reserved_unallocated"
)
COLLECTIONS = "fullsweep_after max_heap_size min_bin_vheap_size min_heap_size minor_gcs"
ORDERS = (("name", "orders"), ("vhost", "scene"))
QUEUE = {
    **each("name vhost node state type", TEXT),
    **each("durable auto_delete exclusive", FLAG),
    **each("memory consumers", INT),
    **each(SIZES, INT),
    **counted(LENGTHS),
    "arguments": OBJECT,
    "consumer_utilisation": NUMBER,
    "policy": TEXT_OR_NULL,
}

READERS = [
    Reader(
        "Telegraf, overview",
        "overview",
        {
            **TOTALS,
            **counted("ack deliver deliver_get publish return_unroutable redeliver", "message_stats."),
            **each(" ".join(f"queue_totals.{name}" for name in LENGTHS.split()), INT),
            "listeners": LIST,
        },
    ),
    Reader(
        "Telegraf, nodes",
        "nodes",
        {
            **each(RESOURCES, INT),
            **each("disk_free_alarm mem_alarm running", FLAG),
            **counted(
                "mnesia_disk_tx_count mnesia_ram_tx_count gc_num gc_bytes_reclaimed io_read_bytes io_write_bytes"
            ),
            **each("io_read_avg_time io_write_avg_time io_read_avg_time_details.rate", NUMBER),
            "name": TEXT,
        },
    ),
    Reader("Telegraf, memory", "nodes/{node}/memory", each(" ".join(f"memory.{n}" for n in MEMORY.split()), INT)),
    Reader(
        "Telegraf, queues",
        "queues",
        {**QUEUE, **counted(f"publish {DELIVERIES}", "message_stats.")},
        ORDERS,
    ),
    Reader("Telegraf, idle queues", "queues", {"idle_since": TEXT}, (("name", "idle"),)),
    Reader(
        "Telegraf, exchanges",
        "exchanges",
        {
            **each("name type vhost", TEXT),
            **each("internal durable auto_delete", FLAG),
            **counted("publish_in publish_out", "message_stats."),
        },
        (("name", "events"),),
    ),
    Reader("Telegraf, health", "health/checks/alarms", {"status": TEXT}),
    Reader(
        "rabbitmq_exporter, overview",
        "overview",
        {**TOTALS, "node": TEXT, "cluster_name": TEXT, "rabbitmq_version": TEXT, "erlang_version": TEXT},
    ),
    Reader(
        "rabbitmq_exporter, queues",
        "queues",
        {
            **each("messages_ready_ram messages_unacknowledged_ram messages_ram messages_persistent reductions", INT),
            **each(f"{LENGTHS} {SIZES} consumers memory", INT),
            **counted("publish deliver deliver_no_ack get get_no_ack redeliver ack", "message_stats."),
            "arguments.x-max-length": INT,
            "effective_policy_definition.max-length-bytes": INT,
            "consumer_utilisation": NUMBER,
        },
        ORDERS,
    ),
    Reader("rabbitmq_exporter, members", "queues", {"members": LIST, "online": LIST}, (("name", "ledger"),)),
    Reader(
        "rabbitmq_exporter, aliveness",
        "aliveness-test/scene",
        {"status": TEXT},
    ),
    Reader(
        "rabbit-hole, overview",
        "overview",
        {
            **each("management_version rabbitmq_version erlang_version erlang_full_version node", TEXT),
            **each("exchange_types listeners contexts", LIST),
            **counted(LENGTHS, "queue_totals."),
            **TOTALS,
        },
    ),
    Reader(
        "rabbit-hole, nodes",
        "nodes/{node}",
        {
            **each("name type os_pid", TEXT),
            **each(RESOURCES, INT),
            **counted("fd_used proc_used mem_used disk_free"),
            **counted(f"{IO} {CHURN}"),
            **each("exchange_types auth_mechanisms applications contexts partitions cluster_links", LIST),
            "metrics_gc_queue_length": OBJECT,
        },
    ),
    Reader(
        "rabbit-hole, connections",
        "connections",
        {
            **each("name node state type host peer_host protocol user vhost", TEXT),
            **each("channels port peer_port timeout frame_max recv_cnt send_cnt send_pend connected_at", INT),
            **counted("recv_oct send_oct"),
            **each("peer_cert_subject peer_cert_validity peer_cert_issuer ssl_protocol ssl_cipher", TEXT_OR_NULL),
            "client_properties": OBJECT,
            "ssl": FLAG,
        },
    ),
    Reader(
        "rabbit-hole, one queue",
        "queues/scene/urgent",
        {
            **QUEUE,
            **each(" ".join(f"garbage_collection.{name}" for name in COLLECTIONS.split()), INT),
            "exclusive_consumer_tag": TEXT_OR_NULL,
            "consumer_details": LIST,
        },
    ),
    Reader(
        "hop, channels",
        "channels",
        {
            **each("name node user vhost state", TEXT),
            **each("confirm transactional", FLAG),
            **each("number consumer_count prefetch_count global_prefetch_count acks_uncommitted", INT),
            **each("messages_unacknowledged messages_unconfirmed messages_uncommitted", INT),
            **each("connection_details.name connection_details.peer_host", TEXT),
            "connection_details.peer_port": INT,
        },
    ),
    Reader(
        "hop, consumers",
        "consumers",
        {
            **each("consumer_tag queue.name queue.vhost channel_details.name channel_details.connection_name", TEXT),
            **each("ack_required exclusive active", FLAG),
            **each("prefetch_count channel_details.number channel_details.peer_port", INT),
            "arguments": OBJECT,
        },
    ),
    Reader("hop, virtual hosts", "vhosts", {**each("name description", TEXT), "tracing": FLAG, "tags": LIST}),
    Reader("hop, users", "users", {**each("name password_hash hashing_algorithm", TEXT), "tags": LIST}),
    Reader(
        "KEDA, one queue",
        "queues/scene/orders",
        {
            **each("name", TEXT),
            **each("messages messages_unacknowledged", INT),
            **each("message_stats.publish_details.rate message_stats.deliver_get_details.rate", NUMBER),
        },
    ),
]
