"""What clients request first: versions, feature flags, extensions and the cluster name."""

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
    """A feature flag. stability: required (cannot be disabled) or stable."""

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
    """A feature that RabbitMQ has deprecated. state: permitted if it works, denied if it does not."""

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
    """The name of the cluster."""

    name: str


class Flag(msgspec.Struct):
    """The name of a feature flag."""

    name: str


FLAGS = (
    FeatureFlag(
        name="detailed_queues_endpoint",
        desc="The list of queues omits fields that take long to compute; /queues/detailed has them",
        require_level="soft",
        provided_by="rabbitmq_management",
    ),
    FeatureFlag(name="direct_exchange_routing_v2", desc="Direct exchanges look up the routing key in an index"),
    FeatureFlag(name="drop_unroutable_metric", desc="Unroutable publishes are counted", provided_by=AGENT),
    FeatureFlag(name="empty_basic_get_metric", desc="basic.get on empty queues is counted", provided_by=AGENT),
    FeatureFlag(name="feature_flags_v2", desc="Feature flags are listed with their stability"),
    FeatureFlag(name="implicit_default_bindings", desc="Bindings to the default exchange are implicit and not stored"),
    FeatureFlag(
        name="message_containers_deaths_v2",
        desc="Dead-letter cycles are detected by queue and reason",
        doc_url="https://github.com/rabbitmq/rabbitmq-server/issues/11159",
        require_level="soft",
    ),
    FeatureFlag(
        name="quorum_queue",
        desc="Queues of type quorum, with their semantics, on one node",
        doc_url="https://www.rabbitmq.com/docs/quorum-queues",
    ),
    FeatureFlag(
        name="rabbit_exchange_type_local_random", desc="Exchanges of type x-local-random", require_level="soft"
    ),
    *(
        FeatureFlag(
            name=f"rabbitmq_{version}.0",
            desc=f"The HTTP API has the features of RabbitMQ {version}",
            require_level="soft",
        )
        for version in ("4.0", "4.1", "4.2")
    ),
    FeatureFlag(
        name="rabbitmq_4.3.0",
        desc="The HTTP API has the features of RabbitMQ 4.3",
        stability="stable",
        require_level="none",
    ),
    FeatureFlag(
        name="tie_binding_to_dest_with_keep_while_cond",
        desc="A binding is deleted with its destination",
        stability="stable",
        require_level="none",
    ),
    FeatureFlag(name="user_limits", desc="Users can have limits on connections and channels"),
    FeatureFlag(
        name="virtual_host_metadata", desc="Virtual hosts can have a description, tags and a default queue type"
    ),
)
"""The feature flags of RabbitMQ whose effect Leveret has, for clients that check them. Omits flags that only concern
clusters, RabbitMQ's storage or streams.
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
    """The version of RabbitMQ that this API implements."""
    return API_VERSION


async def flags(request: Request) -> list[FeatureFlag]:
    """List the feature flags."""
    return list(FLAGS)


async def enable(request: Request) -> Answer:
    """No effect: all feature flags are always enabled."""
    if request.path["name"] not in [flag.name for flag in FLAGS]:
        raise bad_request("unsupported")
    return DONE


async def deprecated(request: Request) -> list[DeprecatedFeature]:
    """List the features that RabbitMQ has deprecated, and whether Leveret has them."""
    return list(DEPRECATED)


async def deprecated_used(request: Request) -> list[DeprecatedFeature]:
    """Always empty: Leveret will not remove any of them."""
    return []


async def extensions(request: Request) -> list[Extension]:
    """The scripts that RabbitMQ's web UI loads after the login: its own pages, and none of other plugins."""
    return [Extension("dispatcher.js")]


async def cluster_name(request: Request) -> ClusterName:
    """The name of the cluster."""
    return ClusterName(request.services.cluster_name)


async def rename(request: Request) -> Answer:
    """Set the name of the cluster."""
    name = request.read(ClusterName).name
    if not name or len(name) > 255:
        raise bad_request("name: must have from 1 to 255 characters")
    await request.perform("set_global_parameter", name="cluster_name", value=name)
    return DONE


async def rebalance(request: Request) -> Answer:
    """No effect: there is one node."""
    return DONE


async def reset(request: Request) -> Answer:
    """Delete the samples collected so far."""
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
    Operation(
        "GET",
        "/version",
        version,
        Access.ANYBODY,
        "Return the version of RabbitMQ's API that Leveret implements.",
        answers=str,
    ),
    Operation("GET", "/feature-flags", flags, MANAGEMENT, "List feature flags.", answers=list[FeatureFlag]),
    Operation(
        "PUT",
        "/feature-flags/{name}/enable",
        enable,
        ADMIN,
        "Enable a feature flag; no effect: all are always enabled.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/deprecated-features",
        deprecated,
        MANAGEMENT,
        "List the features that RabbitMQ has deprecated.",
        answers=list[DeprecatedFeature],
    ),
    Operation(
        "GET",
        "/deprecated-features/used",
        deprecated_used,
        MANAGEMENT,
        "List deprecated features in use; always empty.",
        answers=list[DeprecatedFeature],
    ),
    Operation(
        "GET",
        "/extensions",
        extensions,
        MANAGEMENT,
        "List the extensions of RabbitMQ's web UI.",
        answers=list[Extension],
    ),
    Operation("GET", "/cluster-name", cluster_name, MANAGEMENT, "Return the name of the cluster.", answers=ClusterName),
    Operation(
        "PUT", "/cluster-name", rename, ADMIN, "Set the name of the cluster.", takes=ClusterName, statuses=(204,)
    ),
    Operation(
        "POST",
        "/rebalance/queues",
        rebalance,
        ADMIN,
        "Rebalance queues; no effect: there is one node.",
        statuses=(204,),
    ),
    Operation("DELETE", "/reset", reset, ADMIN, "Delete the statistics collected so far.", statuses=(204,)),
    Operation("DELETE", "/reset/{node}", reset, ADMIN, "Delete the statistics of a node.", statuses=(204,)),
    Operation(
        "GET",
        "/config/effective",
        effective,
        ADMIN,
        "Return the settings of the broker.",
        answers=str,
        media_type="text/plain",
    ),
]
