"""Nodes: always one. Source: rabbit_mgmt_wm_node*.erl, rabbit_mgmt_external_stats.erl."""

from __future__ import annotations

import os
import platform
import resource
import ssl
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from leveret.api.access import Access
from leveret.api.errors import not_there
from leveret.api.listing import pick
from leveret.api.operation import COLUMNS, SAMPLES, Operation
from leveret.api.query import Span
from leveret.api.request import Request
from leveret.api.sampler import CHURN, NODE, most_threads, of_churn
from leveret.api.services import Services
from leveret.api.statistics import Details, details, spans
from leveret.api.views.overview import Context, ExchangeType, contexts, exchange_types
from leveret.core.turn.alarms import DISK, FULL, MEMORY
from leveret.wire.versions import API_VERSION

MECHANISMS = ("PLAIN", "AMQPLAIN")
IO = (
    "io_read_count",
    "io_read_bytes",
    "io_read_avg_time",
    "io_write_count",
    "io_write_bytes",
    "io_write_avg_time",
    "io_sync_count",
    "io_sync_avg_time",
    "io_seek_count",
    "io_seek_avg_time",
    "io_reopen_count",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_read_count",
    "queue_index_write_count",
    "gc_num",
    "gc_bytes_reclaimed",
    "context_switches",
)
"""Numbers that RabbitMQ reports about Erlang and its stores; all are 0 here except context_switches."""


METRICS_GC = dict.fromkeys(
    (
        "channel_closed",
        "channel_consumer_deleted",
        "connection_closed",
        "consumer_deleted",
        "exchange_deleted",
        "node_node_deleted",
        "queue_deleted",
        "vhost_deleted",
    ),
    0,
)
RAFT_FILES = dict.fromkeys(("ra_log_segment_writer", "ra_log_wal"), 0)


class Mechanism(msgspec.Struct):
    """A SASL mechanism for the login."""

    name: str
    description: str
    enabled: bool = True


class Application(msgspec.Struct):
    """The software that runs on the node."""

    name: str
    description: str
    version: str


class NodeItem(msgspec.Struct, kw_only=True):
    """A node. Sizes are in bytes. uptime: milliseconds. proc_used: threads. proc_total: maximum number of threads."""

    name: str
    type: str = "disc"
    running: bool = True
    being_drained: bool = False
    os_pid: str
    uptime: int
    processors: int
    run_queue: int
    rates_mode: str = "basic"
    rabbitmq_version: str
    erlang_version: str
    erlang_full_version: str
    crypto_lib_version: str
    mem_used: int
    mem_used_details: Details
    mem_limit: int
    mem_alarm: bool
    mem_calculation_strategy: str = "rss"
    disk_free: int
    disk_free_details: Details
    disk_free_limit: int
    disk_free_alarm: bool
    fd_used: int
    fd_used_details: Details
    fd_total: int
    sockets_used: int
    sockets_used_details: Details
    sockets_total: int
    proc_used: int
    proc_used_details: Details
    proc_total: int
    exchange_types: list[ExchangeType]
    auth_mechanisms: list[Mechanism]
    applications: list[Application]
    contexts: list[Context]
    enabled_plugins: tuple[str, ...] = ("rabbitmq_management", "rabbitmq_prometheus")
    partitions: list[str] = []
    cluster_links: list[Any] = []
    config_files: list[str] = []
    log_files: tuple[str, ...] = ("<stderr>",)
    db_dir: str
    net_ticktime: int = 60
    metrics_gc_queue_length: dict[str, int]
    ra_open_file_metrics: dict[str, int]
    memory: dict[str, Any] | UnsetType = UNSET


def memory(services: Services) -> dict[str, Any]:
    """Memory use in bytes, as far as it is known, under RabbitMQ's names; names without a meaning here are 0."""
    broker = services.broker
    used = services.machine.values()[NODE["mem_used"]]
    budget = int(broker.budget.used)
    zeros = dict.fromkeys(
        (
            "allocated_unused",
            "atom",
            "code",
            "connection_channels",
            "connection_other",
            "connection_readers",
            "connection_writers",
            "metadata_store",
            "metadata_store_ets",
            "metrics",
            "mgmt_db",
            "mnesia",
            "msg_index",
            "other_ets",
            "other_proc",
            "plugins",
            "queue_procs",
            "quorum_ets",
            "quorum_queue_dlx_procs",
            "quorum_queue_procs",
            "reserved_unallocated",
            "stream_queue_coordinator_procs",
            "stream_queue_procs",
            "stream_queue_replica_reader_procs",
        ),
        0,
    )
    return {
        **zeros,
        "strategy": "rss",
        "binary": budget,
        "other_system": max(used - budget, 0),
        "total": {"allocated": used, "erlang": used, "rss": used},
    }


def item(services: Services, span: Span | None, with_memory: bool) -> dict[str, Any]:
    """The node: the fields of NodeItem, I/O numbers and churn statistics."""
    broker, facts = services.broker, services.facts
    raised = int(broker.alarms.raised)
    series = services.history.find(services.machine)
    values = services.machine.values()
    clock = broker.clock
    measured: dict[str, Any] = {}
    for name, at in NODE.items():
        measured[name] = values[at]
        measured[f"{name}_details"] = details(series, name, span)
    node = NodeItem(
        name=services.node,
        os_pid=str(os.getpid()),
        uptime=int(clock.now_ms - broker.started_ms),
        processors=os.cpu_count() or 1,
        run_queue=len(broker.awake),
        rabbitmq_version=API_VERSION,
        erlang_version="",
        erlang_full_version=f"{platform.python_implementation()} {platform.python_version()}",
        crypto_lib_version=ssl.OPENSSL_VERSION,
        mem_limit=facts.memory_limit,
        mem_alarm=raised & (MEMORY | FULL) != 0,
        disk_free_limit=facts.disk_free_limit,
        disk_free_alarm=raised & DISK != 0,
        fd_total=facts.max_files,
        sockets_total=facts.max_files,
        proc_total=most_threads(),
        exchange_types=exchange_types(),
        auth_mechanisms=[Mechanism(name, f"SASL {name} authentication mechanism") for name in MECHANISMS],
        applications=[_application()],
        contexts=contexts(services),
        db_dir=facts.data_directory or "in memory",
        metrics_gc_queue_length=METRICS_GC,
        ra_open_file_metrics=RAFT_FILES,
        memory=memory(services) if with_memory else UNSET,
        **measured,
    )
    whole: dict[str, Any] = msgspec.to_builtins(node)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    for name in IO:
        whole[name] = usage.ru_nvcsw + usage.ru_nivcsw if name == "context_switches" else 0
        whole[f"{name}_details"] = details(None, name, span)
    churn = dict(zip(CHURN, of_churn(broker), strict=True))
    overall = services.history.find(broker)
    for name, value in churn.items():
        whole[name] = value
        whole[f"{name}_details"] = details(overall, name, span)
    return whole


def _application() -> Application:
    from leveret import __version__

    return Application("leveret", "Leveret, a message broker", __version__)


async def list_nodes(request: Request) -> list[Any]:
    """List the node."""
    span = spans(request.query)["node_stats"]
    return [pick(item(request.services, span, with_memory=False), request.query.columns)]


def _check(request: Request) -> None:
    if not request.services.is_node(request.path["node"]):
        raise not_there()


async def show(request: Request) -> Any:
    """Show one node."""
    _check(request)
    span = spans(request.query)["node_stats"]
    return pick(item(request.services, span, request.query.flag("memory")), request.query.columns)


async def show_memory(request: Request) -> Any:
    """Show the memory use of a node in bytes."""
    _check(request)
    return {"memory": memory(request.services)}


async def show_relative(request: Request) -> Any:
    """Show the memory use of a node in percent."""
    _check(request)
    found = memory(request.services)
    total = found["total"]["rss"] or 1
    parts = {name: value * 100 // total for name, value in found.items() if isinstance(value, int)}
    return {"memory": {**parts, "total": 100}}


async def show_tables(request: Request) -> Any:
    """Show the memory of Erlang's ETS tables: always 0."""
    _check(request)
    return {"ets_tables_memory": {"total": 0}}


OPERATIONS = [
    Operation(
        "GET",
        "/nodes",
        list_nodes,
        Access.MONITORING,
        "List nodes: always one.",
        answers=list[NodeItem],
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "GET",
        "/nodes/{node}",
        show,
        Access.MONITORING,
        "Show one node.",
        answers=NodeItem,
        query=(*COLUMNS, *SAMPLES, "memory"),
    ),
    Operation(
        "GET",
        "/nodes/{node}/memory",
        show_memory,
        Access.MONITORING,
        "Show the memory use of a node in bytes.",
        answers=dict[str, Any],
    ),
    Operation(
        "GET",
        "/nodes/{node}/memory/relative",
        show_relative,
        Access.MONITORING,
        "Show the memory use of a node in percent.",
        answers=dict[str, Any],
    ),
    *(
        Operation(
            "GET",
            f"/nodes/{{node}}/memory/ets{rest}",
            show_tables,
            Access.MONITORING,
            "Show the memory of Erlang's ETS tables: always 0.",
            answers=dict[str, Any],
        )
        for rest in ("", "/relative", "/{filter}", "/{filter}/relative")
    ),
]
