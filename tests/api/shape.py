"""Answers without what differs from one run to the next, and what differs between two of them.

A value that depends on time or machine becomes the name of its type, as in "<number>". What is left has to be the same.
Things in a list are found by their names, whatever their order.
"""

from __future__ import annotations

import re
from collections import Counter
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
    "ok",  # the hash of a password, with salt
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
HASH = re.compile(r"~[\w-]+$")  # of the arguments of a binding
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
        return [still(each, key, is_exact) for each in value]
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
    if "location" in headers:
        headers["location"] = HASH.sub("~<hash>", headers["location"])
    try:
        body = still(reply.json)
    except ValueError:
        body = kind_of(reply.body.decode())
    return {"status": reply.status, "headers": headers, "body": body}


IDENTITY = (
    "name",
    "user_provided_name",
    "vhost",
    "user",
    "component",
    "source",
    "destination",
    "destination_type",
    "routing_key",
    "arguments",
    "consumer_tag",
    "protocol",
)
"""What tells things of one list apart, where they have it."""
ORDERED = re.compile(r"[?&]sort=")


def _keys(things: list[Any]) -> set[str]:
    return {key for thing in things if isinstance(thing, dict) for key in IDENTITY if key in thing}


def _identities(things: list[Any], keys: set[str]) -> list[str]:
    """What each is called in the list, by which its twin is found in another: its place where it has no name."""
    seen: Counter[str] = Counter()
    found = []
    for at, thing in enumerate(things):
        if not isinstance(thing, dict):
            name = str(thing) if isinstance(thing, str) else str(at)
        elif "routing_key" in thing and "source" not in thing:
            name = str(at)  # a message
        else:
            known = keys if "source" in thing else keys - {"arguments"}
            name = " ".join(str(thing[key]) for key in IDENTITY if key in known and thing.get(key))
            name = name if known else str(at)
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


def _in_lists(theirs: list[Any], ours: list[Any], where: str, is_ordered: bool) -> Iterator[str]:
    keys = _keys(theirs) & _keys(ours) if theirs and ours else _keys(theirs + ours)
    names, our_names = _identities(theirs, keys), _identities(ours, keys)
    twins = dict(zip(our_names, ours, strict=True))
    for name, thing in zip(names, theirs, strict=True):
        if name in twins:
            yield from differences(thing, twins[name], f"{where}[{name}]", is_ordered)
        else:
            yield f"{where}[{name}] is missing"
    for name in our_names:
        if name not in names:
            yield f"{where}[{name}] is more than there is"
    if is_ordered and sorted(names) == sorted(our_names) and names != our_names:
        yield f"{where} is in the order {our_names}, not {names}"


def differences(theirs: Any, ours: Any, where: str = "", is_ordered: bool = False) -> Iterator[str]:
    """Where ours is not what theirs is, as in "body.items[orders].messages is missing".

    More keys than there are no difference: no client minds them. is_ordered: whether the order of lists matters.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            place = f"{where}.{key}" if where else key
            if key in ours:
                yield from differences(value, ours[key], place, is_ordered)
            else:
                yield f"{place} is missing"
    elif isinstance(theirs, list) and isinstance(ours, list):
        yield from _in_lists(theirs, ours, where, is_ordered)
    elif theirs != ours and not (theirs == "<float>" and ours == "<int>"):
        yield f"{where} is {ours!r}, not {theirs!r}"


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each question that is answered in another way, and what differs. Of both: answers by questions."""
    for question, answer in theirs.items():
        if question not in ours:
            yield question, "was not asked"
            continue
        for text in differences(answer, ours[question], "", ORDERED.search(question) is not None):
            yield question, text
