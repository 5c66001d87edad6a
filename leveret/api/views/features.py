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


class FeatureFlag(msgspec.Struct, kw_only=True):
    """A feature that a client may look for. stability: required for what cannot be switched off, or stable."""

    name: str
    state: str = "enabled"
    desc: str
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


FLAGS = (
    FeatureFlag(
        name="detailed_queues_endpoint",
        desc="The list of queues without what takes long to find out, which /queues/detailed has",
        require_level="soft",
        provided_by="rabbitmq_management",
    ),
    FeatureFlag(name="direct_exchange_routing_v2", desc="Direct exchanges look up the routing key in an index"),
    FeatureFlag(name="drop_unroutable_metric", desc="Publishes that no queue gets are counted", provided_by=AGENT),
    FeatureFlag(name="empty_basic_get_metric", desc="basic.get on empty queues is counted", provided_by=AGENT),
    FeatureFlag(name="feature_flags_v2", desc="Feature flags are listed with their stability"),
    FeatureFlag(name="implicit_default_bindings", desc="Bindings to the default exchange are implied and not kept"),
    FeatureFlag(
        name="message_containers_deaths_v2",
        desc="Cycles of dead letters are found by queue and reason",
        doc_url="https://github.com/rabbitmq/rabbitmq-server/issues/11159",
        require_level="soft",
    ),
    FeatureFlag(
        name="quorum_queue",
        desc="Queues of the type quorum, with their rules, on one node",
        doc_url="https://www.rabbitmq.com/docs/quorum-queues",
    ),
    FeatureFlag(
        name="rabbit_exchange_type_local_random", desc="Exchanges of the type x-local-random", require_level="soft"
    ),
    *(
        FeatureFlag(
            name=f"rabbitmq_{version}.0",
            desc=f"The HTTP API has what that of RabbitMQ {version} has",
            require_level="soft",
        )
        for version in ("4.0", "4.1", "4.2")
    ),
    FeatureFlag(
        name="rabbitmq_4.3.0",
        desc="The HTTP API has what that of RabbitMQ 4.3 has",
        stability="stable",
        require_level="none",
    ),
    FeatureFlag(
        name="tie_binding_to_dest_with_keep_while_cond",
        desc="A binding ends with the queue or the exchange that it leads to",
        stability="stable",
        require_level="none",
    ),
    FeatureFlag(name="user_limits", desc="Users have limits of connections and channels"),
    FeatureFlag(name="virtual_host_metadata", desc="Virtual hosts have a description, tags and a default queue type"),
)
"""Those of RabbitMQ whose effect is here, for whoever looks for it. What only a cluster or another way to keep things
has is left out, and so is what streams need.
"""
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
    return list(FLAGS)


async def enable(request: Request) -> Answer:
    """Nothing has to be done: what there is, is enabled."""
    if request.path["name"] not in [flag.name for flag in FLAGS]:
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
