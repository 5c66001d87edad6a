"""leveret explain: the route that a message would take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.arguments import arguments_of
from leveret.node.cli.asking import broker_at, path
from leveret.node.cli.content import properties_of
from leveret.node.cli.names import of_exchanges, of_queues, of_users
from leveret.node.cli.output import AsJson
from leveret.node.cli.queues import Vhost, no_vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say, say_json

DEEPEST: Final = 20  # maximum indentation level
INDENT: Final = "  "


@at_broker
def explain(
    target: Target,
    to: Annotated[
        str | None, typer.Argument(help="Name of the queue. Omit with --exchange.", autocompletion=of_queues)
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Exchange to publish to.", autocompletion=of_exchanges)] = None,
    key: Annotated[str | None, typer.Option(help="Routing key. Requires --exchange.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--property", help="NAME=VALUE, such as expiration=5000. Repeatable.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE. A value that is not JSON is text. Repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(min=0, help="Body size in bytes.")] = 0,
    user: Annotated[
        str | None, typer.Option(help="Check the permissions of this user as the publisher.", autocompletion=of_users)
    ] = None,
    vhost: Vhost = "/",
    as_json: AsJson = False,
) -> None:
    """Explain the route of a message step by step: which queues it reaches and why, and where it is dead-lettered.

    Publishes nothing. Takes the options of `leveret messages publish`.
    """
    if (to is None) == (exchange is None):
        raise typer.BadParameter("give either the name of a queue, or --exchange with --key")
    if to is not None and key is not None:
        raise typer.BadParameter(
            "with the name of a queue, that name is the routing key; --key requires --exchange", param_hint="--key"
        )
    properties = {"delivery_mode": 2, **properties_of(given, "--property")}
    if header:
        properties["headers"] = arguments_of(header)
    question = {
        "exchange": exchange or "",
        "routing_key": to if to is not None else key or "",
        "properties": properties,
        "size": size,
        "user": user,
    }
    with broker_at(target) as broker:
        found = broker.read(broker.do("POST", path("leveret", "explain", vhost), question, missing=no_vhost(vhost)))
    if as_json:
        say_json(found)
        return
    for line in _lines(found):
        say(line)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """An explanation as lines of text."""
    yield _sentence(found["conclusion"])
    for hint in found["hints"]:
        yield f"Hint: {_sentence(hint)}"
    yield ""
    for check in found["checks"]:
        pattern = f" (pattern {check['pattern']!r})" if "pattern" in check else ""
        yield f"{'ok' if check['is_passed'] else 'refused'}: {check['text']}{pattern}"
    for number, each in enumerate(found["paths"]):
        if number:
            yield ""
            keys = ", ".join(f"'{key}'" for key in each["routing_keys"])
            yield f"Route {number}, of dead letters with key {keys}:"
        yield from _path(each)
    if not found["is_complete"]:
        yield ""
        yield "Not all steps are shown."
    if not found["is_exact"]:
        yield "Exchanges, queues or bindings changed during the check."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _path(way: dict[str, Any]) -> Iterator[str]:
    steps = way["exchanges"]
    if steps:
        yield from _exchange(steps, 0, 0)
    for step in way["queues"]:
        yield from _queue(step)
    more = way["queue_count"] - len(way["queues"])
    if more > 0:
        yield f"... and {more} more queues"


def _exchange(steps: list[dict[str, Any]], place: int, depth: int) -> Iterator[str]:
    """An exchange, its decision, and the exchanges that follow."""
    step = steps[place]
    margin = INDENT * min(depth, DEEPEST)
    name = f"exchange '{step['name']}'" if step["name"] else "the default exchange"
    yield f"{margin}{name} ({step['type']}{_ruled(step)}): {step['text']}"
    for each in step.get("interceptions", []):
        yield f"{margin}{INDENT}{each['what']}: {each['text']}"
    following = {each["name"]: at for at, each in enumerate(steps) if each.get("came_from") == place and at != place}
    for match in step.get("matches", []):
        perhaps = "possibly " if match.get("is_by_chance") else ""
        arguments = f", arguments {json.dumps(match['arguments'])}" if match.get("arguments") else ""
        to = f"{match['destination_type']} '{match['destination']}'"
        again = "; already visited" if match.get("was_visited") else ""
        yield f"{margin}{INDENT}{perhaps}'{match['routing_key']}' -> {to}: {match['reason']}{arguments}{again}"
        at = following.pop(match["destination"], None) if match["destination_type"] == "exchange" else None
        if at is not None:
            yield from _exchange(steps, at, depth + 2)
    left = step.get("matched", 0) - len(step.get("matches", []))
    if left > 0:
        yield f"{margin}{INDENT}... and {left} more bindings"
    for at in following.values():
        yield from _exchange(steps, at, depth + 1)


def _ruled(step: dict[str, Any]) -> str:
    """The policies that apply, for appending to a line."""
    names = [
        (word, step[key]) for key, word in (("policy", "policy"), ("operator_policy", "operator policy")) if key in step
    ]
    return "".join(f", {word} '{name}'" for word, name in names)


def _queue(step: dict[str, Any]) -> Iterator[str]:
    perhaps = "possibly " if step.get("is_by_chance") else ""
    about = [step["type"]]
    if step["type"] != "reply":
        consumers = step.get("consumers", 0)
        about += [f"{step.get('ready', 0)} ready", f"{consumers} consumer{'s' * (consumers != 1)}"]
    yield f"{perhaps}queue '{step['name']}' ({', '.join(about)}{_ruled(step)}): {step['text']}"
    if "ttl_ms" in step:
        by = f" ({step['ttl_said_by']})" if "ttl_said_by" in step else ""
        yield f"{INDENT}it expires after {step['ttl_ms']} ms{by}"
    for note in step.get("notes", []):
        yield f"{INDENT}{note}"
    letters = step.get("dead_letters")
    if letters is None:
        return
    where = f"exchange '{letters['exchange']}'" if letters["exchange"] else "the default exchange"
    keys = ", ".join(f"'{key}'" for key in letters["routing_keys"])
    by = f" ({letters['said_by']})" if letters["said_by"] else ""
    text = f"{INDENT}if it is {_when(letters['reasons'])}: to {where}{by} with key {keys}"
    if not letters.get("is_there", True):
        text += ", which does not exist"
    elif "path" in letters:
        text += ": the same route again" if letters["path"] == 0 else f": route {letters['path']}"
    if letters.get("comes_back"):
        text += "; it returns here if it was rejected on the way, else it is dropped"
    yield text


def _when(reasons: list[str]) -> str:
    words = {"maxlen": "over the length limit", "delivery_limit": "over the delivery limit"}
    return " or ".join(words.get(reason, reason) for reason in reasons)
