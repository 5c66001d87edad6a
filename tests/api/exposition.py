"""What metrics look like: names, types, help and labels, without values."""

from __future__ import annotations

import re
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

FAMILIES = (
    *("connection_churn_metrics", "node_coarse_metrics", "node_metrics", "node_persister_metrics", "ra_metrics"),
    *("auth_attempt_metrics", "auth_attempt_detailed_metrics", "queue_coarse_metrics", "queue_consumer_count"),
    *("queue_metrics", "queue_delivery_metrics", "queue_exchange_metrics", "exchange_metrics", "channel_metrics"),
    *("channel_exchange_metrics", "channel_queue_metrics", "channel_queue_exchange_metrics", "channel_process_metrics"),
    *("connection_coarse_metrics", "connection_metrics", "stream_consumer_metrics", "vhost_status", "exchange_names"),
    "exchange_bindings",
)
PAGES = (
    "metrics",
    "metrics/per-object",
    "metrics/memory-breakdown",
    *(f"metrics/detailed?family={family}" for family in FAMILIES),
)
HEAD = re.compile(r"^# (TYPE|HELP) (\S+) (.*)$", re.MULTILINE)
SUFFIX = re.compile("_(bucket|count|sum|total)$")  # the last one is what the parser adds to counters without it
TIMEOUT_S = 20

Metric = dict[str, object]
"""type, help, and labels: a list of names for each combination of labels that its samples have."""


def fetch(url: str) -> str:
    """A page of metrics without a login."""
    with urlopen(url, timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a page, by name and labels. Fails for what is not in Prometheus' format, or there twice."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def shape(text: str) -> dict[str, Metric]:
    """The metrics of a page by name, as they stand there."""
    found: dict[str, Metric] = {}
    for what, name, rest in HEAD.findall(text):
        metric = found.setdefault(name, {"labels": []})
        key = what.lower()
        assert key not in metric, f"{name} has two lines of {what}"
        metric[key] = rest
    for name, labels in values(text):
        base = name if name in found else SUFFIX.sub("", name)
        names = sorted(label for label, _ in labels)
        kinds = found[base]["labels"]
        assert isinstance(kinds, list)
        if names not in kinds:
            kinds.append(names)
    for metric in found.values():
        kinds = metric["labels"]
        assert isinstance(kinds, list)
        kinds.sort()
    return found
