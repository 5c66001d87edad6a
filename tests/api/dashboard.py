"""The questions that the panels of Grafana's dashboard RabbitMQ-Overview ask Prometheus.

Each number is joined with rabbitmq_identity_info, which has the names of the cluster and the node. Source:
deps/rabbitmq_prometheus/docker/grafana/dashboards/RabbitMQ-Overview.json.
"""

from __future__ import annotations

from itertools import pairwise

JOIN = (
    "* on(instance, job) group_left(rabbitmq_cluster, rabbitmq_node) "
    'rabbitmq_identity_info{rabbitmq_cluster="CLUSTER", namespace="", rabbitmq_endpoint="ENDPOINT"}'
)
GLOBAL = (
    *("received", "received_confirm", "confirmed", "routed", "unroutable_dropped", "unroutable_returned", "delivered"),
    *("delivered_consume_auto_ack", "delivered_consume_manual_ack", "delivered_get_auto_ack"),
    *("delivered_get_manual_ack", "get_empty", "redelivered", "acknowledged"),
)
CHURN = (
    *("queues_declared", "queues_created", "queues_deleted", "channels_opened", "channels_closed"),
    *("connections_opened", "connections_closed"),
)
BOUNDS = ("100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf")


def _up_to(bound: str) -> str:
    return f'sum(increase(rabbitmq_message_size_bytes_bucket{{le="{bound}"}}[RANGE]) {JOIN})'


def _between(lower: str, upper: str) -> str:
    return f"({_up_to(upper)} - {_up_to(lower)}) / {_up_to('+Inf')}"


def _rate(metric: str) -> str:
    return f"sum(rate({metric}[RANGE]) {JOIN}) by(rabbitmq_node)"


QUERIES = (
    *(
        f"sum(rabbitmq_{name} {JOIN})"
        for name in ("queue_messages_ready", "queue_messages_unacked", "global_publishers", "global_consumers")
    ),
    *(f"sum(rabbitmq_{name} {JOIN})" for name in ("connections", "queues", "channels")),
    *(f"rabbitmq_{name} {JOIN}" for name in ("queues", "channels", "connections", "process_open_fds")),
    *(f"sum(irate(rabbitmq_global_messages_{name}_total[RANGE]) {JOIN})" for name in ("delivered", "received")),
    'count(rabbitmq_identity_info{namespace="", rabbitmq_cluster="CLUSTER", rabbitmq_endpoint="ENDPOINT"})',
    "rabbitmq_erlang_uptime_seconds * on(instance, job) group_left(rabbitmq_version, erlang_version) "
    f"rabbitmq_build_info {JOIN}",
    f"(rabbitmq_resident_memory_limit_bytes {JOIN}) - (rabbitmq_process_resident_memory_bytes {JOIN})",
    f"rabbitmq_disk_space_available_bytes {JOIN}",
    f"rabbitmq_disk_space_available_limit_bytes {JOIN}",
    f"(rabbitmq_process_max_fds {JOIN}) - (rabbitmq_process_open_fds {JOIN})",
    *(f"sum(rabbitmq_{name} {JOIN}) by(rabbitmq_node)" for name in ("queue_messages_ready", "queue_messages_unacked")),
    *(_rate(f"rabbitmq_global_messages_{name}_total") for name in GLOBAL),
    *(_rate(f"rabbitmq_{name}_total") for name in CHURN),
    f"sum(rate(rabbitmq_global_messages_received_confirm_total[RANGE]) {JOIN} - "
    f"rate(rabbitmq_global_messages_confirmed_total[RANGE]) {JOIN}) by(rabbitmq_node)",
    f"sum((rate(rabbitmq_global_messages_delivered_consume_auto_ack_total[RANGE]) {JOIN}) + "
    f"(rate(rabbitmq_global_messages_delivered_consume_manual_ack_total[RANGE]) {JOIN})) by(rabbitmq_node)",
    f"sum(increase(rabbitmq_message_size_bytes_sum[RANGE]) {JOIN}) / "
    f"sum(increase(rabbitmq_message_size_bytes_count[RANGE]) {JOIN})",
    f"{_up_to(BOUNDS[0])} / {_up_to('+Inf')}",
    *(_between(lower, upper) for lower, upper in pairwise(BOUNDS)),
)


def queries(cluster: str, endpoint: str, span: str) -> list[str]:
    """All of them, for one cluster. span: of time, as Prometheus writes it."""
    return [query.replace("CLUSTER", cluster).replace("ENDPOINT", endpoint).replace("RANGE", span) for query in QUERIES]
