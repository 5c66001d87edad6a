"""Metrics of the node and its process: those of RabbitMQ that are meaningful here."""

from __future__ import annotations

import gc
import platform
import resource
from collections.abc import Callable

from leveret import __version__
from leveret.api.metrics.family import COUNTER, GAUGE, PROCESS, UNTYPED, Family, Group, Number, Sample, samples_of
from leveret.api.metrics.scrape import Scrape
from leveret.api.metrics.text import labels
from leveret.api.sampler import CHURN, NODE, of_churn
from leveret.api.services import Services
from leveret.api.views.nodes import memory
from leveret.core.turn.alarms import DISK, FULL, MEMORY
from leveret.wire.versions import API_VERSION


async def the_node(scrape: Scrape) -> list[Services]:
    """The only node."""
    return [scrape.services]


def _of_node(name: str, *families: Family, prefix: str = "rabbitmq_") -> Group:
    return Group(name, the_node, families, prefix=prefix)


def _churn(name: str) -> Callable[[Services], Number]:
    at = CHURN.index(name)
    return lambda services: of_churn(services.broker)[at]


def _machine(name: str) -> Callable[[Services], Number]:
    at = NODE[name]
    return lambda services: services.machine.values()[at]


def _uptime_s(services: Services) -> float:
    broker = services.broker
    return int(broker.clock.now_ms - broker.started_ms) / 1000


def _started_s(services: Services) -> int:
    return round(services.broker.clock.today_ms / 1000 - _uptime_s(services))


def _switches(services: Services) -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


def _collections(services: Services) -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _alarm(bits: int) -> Callable[[Services], Number]:
    return lambda services: int(int(services.broker.alarms.raised) & bits != 0)


CHURN_GROUP = _of_node(
    "connection_churn_metrics",
    Family("connections_opened_total", COUNTER, "Total number of connections opened", _churn("connection_created")),
    Family(
        "connections_closed_total",
        COUNTER,
        "Total number of connections closed or terminated",
        _churn("connection_closed"),
    ),
    Family("channels_opened_total", COUNTER, "Total number of channels opened", _churn("channel_created")),
    Family("channels_closed_total", COUNTER, "Total number of channels closed", _churn("channel_closed")),
    Family("queues_declared_total", COUNTER, "Total number of queues declared", _churn("queue_declared")),
    Family("queues_created_total", COUNTER, "Total number of queues created", _churn("queue_created")),
    Family("queues_deleted_total", COUNTER, "Total number of queues deleted", _churn("queue_deleted")),
)

COARSE = _of_node(
    "node_coarse_metrics",
    Family("process_open_fds", GAUGE, "Open file descriptors", _machine("fd_used")),
    Family("process_resident_memory_bytes", GAUGE, "Memory used in bytes", _machine("mem_used")),
    Family("disk_space_available_bytes", GAUGE, "Disk space available in bytes", _machine("disk_free")),
    Family("erlang_processes_used", GAUGE, "Erlang processes used", _machine("proc_used")),
    Family("erlang_gc_runs_total", COUNTER, "Total number of Erlang garbage collector runs", _collections),
    Family(
        "erlang_scheduler_context_switches_total",
        COUNTER,
        "Total number of Erlang scheduler context switches",
        _switches,
    ),
)

LIMITS = _of_node(
    "node_metrics",
    Family("process_max_fds", GAUGE, "Open file descriptors limit", lambda services: services.facts.max_files),
    Family(
        "resident_memory_limit_bytes",
        GAUGE,
        "Memory high watermark in bytes",
        lambda services: services.facts.memory_limit,
    ),
    Family(
        "disk_space_available_limit_bytes",
        GAUGE,
        "Free disk space low watermark in bytes",
        lambda services: services.facts.disk_free_limit,
    ),
    Family(
        "erlang_scheduler_run_queue", GAUGE, "Erlang scheduler run queue", lambda services: len(services.broker.awake)
    ),
    Family("erlang_uptime_seconds", GAUGE, "Node uptime", _uptime_s),
)

ALARMS = _of_node(
    "alarms",
    Family(
        "alarms_free_disk_space_watermark",
        UNTYPED,
        "is 1 if free disk space watermark alarm is in effect",
        _alarm(DISK),
    ),
    Family(
        "alarms_memory_used_watermark",
        UNTYPED,
        "is 1 if VM memory watermark alarm is in effect",
        _alarm(MEMORY | FULL),
    ),
    Family(
        "unreachable_cluster_peers_count",
        GAUGE,
        "Number of peers in the cluster the current node cannot reach.",
        lambda services: 0,
    ),
)

START = _of_node(
    "process",
    Family(
        "process_start_time_seconds",
        GAUGE,
        "Start time of the process since unix epoch in seconds.",
        _started_s,
    ),
    prefix=PROCESS,
)


async def _build(scrape: Scrape) -> list[Sample]:
    tail = labels(
        rabbitmq_version=API_VERSION,
        prometheus_plugin_version=API_VERSION,
        prometheus_client_version=__version__,
        erlang_version=f"{platform.python_implementation()} {platform.python_version()}",
        product_name="Leveret",
        product_version=__version__,
    )
    return [Sample(tail, 1)]


async def _identity(scrape: Scrape) -> list[Sample]:
    services = scrape.services
    tail = labels(
        rabbitmq_node=services.node,
        rabbitmq_cluster=services.cluster_name,
        rabbitmq_cluster_permanent_id=services.cluster_id,
        rabbitmq_endpoint=scrape.page,
    )
    return [Sample(tail, 1)]


BUILD = samples_of("build_info", "build_info", UNTYPED, "RabbitMQ & Erlang/OTP version info", _build)
IDENTITY = samples_of("identity_info", "identity_info", UNTYPED, "RabbitMQ node & cluster identity info", _identity)


PARTS = (
    ("code", "code_module", "Code module memory footprint"),
    ("connection_readers", "client_connection_reader", "Client connection reader processes footprint in bytes"),
    ("connection_writers", "client_connection_writer", "Client connection writer processes footprint in bytes"),
    ("connection_channels", "client_connection_channel", "Client connection channel processes footprint in bytes"),
    ("connection_other", "client_connection_other", "Client connection other processes footprint in bytes"),
    ("queue_procs", "classic_queue_erlang_process", "Classic queue processes footprint in bytes"),
    ("quorum_queue_procs", "quorum_queue_erlang_process", "Quorum queue processes footprint in bytes"),
    (
        "quorum_queue_dlx_procs",
        "quorum_queue_dlx_erlang_process",
        "Quorum queue DLX worker processes footprint in bytes",
    ),
    ("stream_queue_procs", "stream_erlang_process", "Stream processes footprint in bytes"),
    (
        "stream_queue_replica_reader_procs",
        "stream_replica_reader_erlang_process",
        "Stream replica reader processes footprint in bytes",
    ),
    (
        "stream_queue_coordinator_procs",
        "stream_coordinator_erlang_process",
        "Stream coordinator processes footprint in bytes",
    ),
    ("plugins", "plugin", "Total plugin footprint in bytes"),
    ("metadata_store", "modern_metadata_store", "Modern metadata store footprint in bytes"),
    ("other_proc", "other_erlang_process", "Other processes footprint in bytes"),
    ("metrics", "metrics", "Metric table footprint in bytes"),
    ("mgmt_db", "management_stats_db", "Management stats database footprint in bytes"),
    ("mnesia", "classic_metadata_store", "Classic metadata store footprint in bytes"),
    ("quorum_ets", "quorum_queue_ets_table", "Quorum queue ETS tables footprint in bytes"),
    ("metadata_store_ets", "modern_metadata_store_ets_table", "Modern metadata store ETS tables footprint in bytes"),
    ("other_ets", "other_ets_table", "Other ETS tables footprint in bytes"),
    ("binary", "binary_heap", "Binary heap size in bytes"),
    ("msg_index", "message_index", "Message index footprint in bytes"),
    ("atom", "atom_table", "Atom table size in bytes"),
    ("other_system", "other_system", "Other runtime footprint in bytes"),
    ("allocated_unused", "runtime_allocated_unused", "Runtime allocated but unused blocks size in bytes"),
    ("reserved_unallocated", "runtime_reserved_unallocated", "Runtime reserved but unallocated blocks size in bytes"),
)
"""Names of parts of the memory in the API, in metrics, and help. Messages are the binary heap, the rest other_system.
"""


def _part(name: str) -> Callable[[Services], Number]:
    return lambda services: int(memory(services)[name])


MEMORY_BREAKDOWN = _of_node(
    "memory",
    *(Family(f"memory_{metric}_bytes", GAUGE, text, _part(name)) for name, metric, text in PARTS),
)
