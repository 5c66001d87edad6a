"""Answers without what differs from one run to the next, and what differs between two of them.

A value that depends on time or machine becomes the name of its type, as in "<number>". What is left has to be the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.api.http import Reply

HEADERS = ("content-type", "location", "www-authenticate")
EXACT = {"arguments", "definition", "value", "effective_policy_definition", "limits", "metadata", "properties", "tags"}
"""Keys below which numbers count."""
VOLATILE = {
    "connected_at",
    "crypto_lib_version",
    "description",  # of exchange types, nodes, applications
    "doc_url",
    "desc",
    "erlang_full_version",
    "erlang_version",
    "explanation",
    "host",
    "idle_since",
    "internal_cluster_id",
    "ip",
    "ip_address",
    "management_version",
    "node",
    "original_cluster_name",
    "os_pid",
    "owner_pid_details",
    "password_hash",
    "platform",
    "port",
    "product_name",
    "product_version",
    "properties_key",  # of bindings with arguments: a hash
    "rabbit_version",
    "rabbitmq_version",
    "version",
}
NAME = re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+|[\w.-]+@[\w.-]+")


def kind_of(value: object) -> str:
    """The name of the type of a value."""
    if value is None:
        return "<null>"
    if isinstance(value, bool):
        return "<bool>"
    if isinstance(value, int):
        return "<int>"
    if isinstance(value, float):
        return "<float>"
    return "<text>" if isinstance(value, str) else "<list>"


def still(value: Any, key: str = "", is_exact: bool = False) -> Any:
    """A value with nothing in it that is different in another run."""
    if isinstance(value, dict):
        inside = is_exact or key in EXACT
        return {NAME.sub("<name>", name): still(each, name, inside) for name, each in sorted(value.items())}
    if isinstance(value, list):
        if key == "samples":
            return [still(value[0], key)] if value else []
        found = [still(each, key, is_exact) for each in value]
        return sorted(found, key=str) if all(isinstance(each, dict) for each in found) else found
    if key in VOLATILE and not is_exact:
        return kind_of(value)
    if isinstance(value, str):
        return NAME.sub("<name>", value)
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_exact:
        return kind_of(value)
    return value


def shape(reply: Reply) -> dict[str, Any]:
    """What there is to compare of an answer."""
    headers = {name: NAME.sub("<name>", reply.headers[name]) for name in HEADERS if name in reply.headers}
    try:
        body = still(reply.json)
    except ValueError:
        body = kind_of(reply.body.decode())
    return {"status": reply.status, "headers": headers, "body": body}


def differences(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Where ours is not what theirs is. More keys than there are no difference: no client minds them."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from differences(value, ours[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is missing"
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{where} has {len(ours)} items, not {len(theirs)}"
        for at, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from differences(one, other, f"{where}[{at}]")
    elif theirs != ours and not (theirs == "<float>" and ours == "<int>"):
        yield f"{where} is {ours!r}, not {theirs!r}"
