"""What clients ask before they ask for anything else: versions, feature flags, extensions, the name of the cluster."""

from __future__ import annotations

import json

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_there
from leveret.api.operation import Operation
from leveret.api.request import DONE, Answer, Request
from leveret.wire.versions import API_VERSION

AGENT = "rabbitmq_management_agent"
FLAGS = (
    "classic_mirrored_queue_version",
    "classic_queue_type_delivery_support",
    "detailed_queues_endpoint",
    "direct_exchange_routing_v2",
    "drop_unroutable_metric",
    "empty_basic_get_metric",
    "feature_flags_v2",
    "implicit_default_bindings",
    "listener_records_in_ets",
    "maintenance_mode_status",
    "message_containers",
    "quorum_queue",
    "quorum_queue_non_voters",
    "restart_streams",
    "stream_queue",
    "user_limits",
    "virtual_host_metadata",
)
"""Those of RabbitMQ that clients ask for; all of them are enabled. Streams are an exception: Leveret has none."""
WITHOUT = ("stream_queue", "restart_streams")
SOFT = ("detailed_queues_endpoint", "quorum_queue_non_voters")
PROVIDERS = {
    "detailed_queues_endpoint": "rabbitmq_management",
    "drop_unroutable_metric": AGENT,
    "empty_basic_get_metric": AGENT,
}


class FeatureFlag(msgspec.Struct, kw_only=True):
    """A feature that a client may look for."""

    name: str
    state: str
    desc: str = ""
    doc_url: str = ""
    stability: str = "required"
    require_level: str = "hard"
    experiment_level: str = "supported"
    callbacks: list[str] = []
    provided_by: str = "rabbit"


class DeprecatedFeature(msgspec.Struct, kw_only=True):
    """What RabbitMQ gives up. permitted: it works."""

    name: str
    state: str
    desc: str = ""
    deprecation_phase: str
    doc_url: str = ""
    provided_by: str = "rabbit"


class Extension(msgspec.Struct):
    """A script that RabbitMQ's web UI loads from its js folder."""

    javascript: str


class ClusterName(msgspec.Struct):
    """What the broker is called."""

    name: str


class Flag(msgspec.Struct):
    """The name of a feature flag."""

    name: str


DEPRECATED = (
    DeprecatedFeature(name="global_qos", state="permitted", deprecation_phase="permitted_by_default"),
    DeprecatedFeature(name="transient_nonexcl_queues", state="permitted", deprecation_phase="permitted_by_default"),
    DeprecatedFeature(name="classic_queue_mirroring", state="denied", deprecation_phase="removed"),
    DeprecatedFeature(
        name="management_metrics_collection",
        state="permitted",
        deprecation_phase="permitted_by_default",
        provided_by=AGENT,
    ),
)


async def version(request: Request) -> str:
    """The version of RabbitMQ whose answers these are."""
    return API_VERSION


async def flags(request: Request) -> list[FeatureFlag]:
    """What a client may look for."""
    return [
        FeatureFlag(
            name=name,
            state="disabled" if name in WITHOUT else "enabled",
            require_level="soft" if name in SOFT else "hard",
            provided_by=PROVIDERS.get(name, "rabbit"),
        )
        for name in FLAGS
    ]


async def enable(request: Request) -> Answer:
    """Nothing has to be done: what there is, is enabled."""
    name = request.path["name"]
    if name not in FLAGS or name in WITHOUT:
        raise bad_request("unsupported")
    return DONE


async def deprecated(request: Request) -> list[DeprecatedFeature]:
    """What RabbitMQ gives up, and Leveret has or has not."""
    return list(DEPRECATED)


async def deprecated_used(request: Request) -> list[DeprecatedFeature]:
    """None of it will go here."""
    return []


async def extensions(request: Request) -> list[Extension]:
    """What RabbitMQ's web UI loads after a login: its own pages, and none of other plugins."""
    return [Extension("dispatcher.js")]


async def cluster_name(request: Request) -> ClusterName:
    """What the broker is called."""
    return ClusterName(request.services.cluster_name)


async def rename(request: Request) -> Answer:
    """Call the broker something else."""
    name = request.read(ClusterName).name
    if not name or len(name) > 255:
        raise bad_request("name: a name has from 1 to 255 characters")
    await request.perform("set_global_parameter", name="cluster_name", value=name)
    return DONE


async def rebalance(request: Request) -> Answer:
    """Nothing has to be done: there is one node."""
    return DONE


async def reset(request: Request) -> Answer:
    """Forget the statistics so far."""
    if "node" in request.path and not request.services.is_node(request.path["node"]):
        raise not_there()
    services = request.services
    async with services.turns:
        for _ in services.history.clear():
            await services.turns.rest()
    return DONE


async def effective(request: Request) -> Answer:
    """The settings that the broker runs with, as JSON."""
    return Answer(content=json.dumps(request.services.facts.settings, indent=2).encode(), media_type="text/plain")


MANAGEMENT, ADMIN = Access.MANAGEMENT, Access.ADMINISTRATOR
OPERATIONS = [
    Operation("GET", "/version", version, Access.ANYBODY, "The version of RabbitMQ's API that this is.", answers=str),
    Operation("GET", "/feature-flags", flags, MANAGEMENT, "Feature flags.", answers=list[FeatureFlag]),
    Operation(
        "PUT",
        "/feature-flags/{name}/enable",
        enable,
        ADMIN,
        "Enable a feature flag, all of which are enabled.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/deprecated-features",
        deprecated,
        MANAGEMENT,
        "Features that RabbitMQ gives up.",
        answers=list[DeprecatedFeature],
    ),
    Operation(
        "GET",
        "/deprecated-features/used",
        deprecated_used,
        MANAGEMENT,
        "Features in use that will go: none.",
        answers=list[DeprecatedFeature],
    ),
    Operation(
        "GET", "/extensions", extensions, MANAGEMENT, "Extensions of RabbitMQ's web UI.", answers=list[Extension]
    ),
    Operation("GET", "/cluster-name", cluster_name, MANAGEMENT, "What the broker is called.", answers=ClusterName),
    Operation("PUT", "/cluster-name", rename, ADMIN, "Name the broker.", takes=ClusterName, statuses=(204,)),
    Operation(
        "POST", "/rebalance/queues", rebalance, ADMIN, "Rebalance queues, of which one node has all.", statuses=(204,)
    ),
    Operation("DELETE", "/reset", reset, ADMIN, "Forget the statistics so far.", statuses=(204,)),
    Operation("DELETE", "/reset/{node}", reset, ADMIN, "Forget the statistics of a node.", statuses=(204,)),
    Operation(
        "GET",
        "/config/effective",
        effective,
        ADMIN,
        "The settings of the broker.",
        answers=str,
        media_type="text/plain",
    ),
]
