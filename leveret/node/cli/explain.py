"""leveret explain: which way a message would take, if it were published."""

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

DEEPEST: Final = 20  # steps that lines are moved to the right
INDENT: Final = "  "


@at_broker
def explain(
    target: Target,
    to: Annotated[
        str | None, typer.Argument(help="Name of the queue, without --exchange.", autocompletion=of_queues)
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Exchange to publish to.", autocompletion=of_exchanges)] = None,
    key: Annotated[str | None, typer.Option(help="Routing key, with --exchange.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--property", help="NAME=VALUE, as expiration=5000. Repeatable.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE; the value is JSON, else a text. Repeatable.")
    ] = None,
    size: Annotated[int, typer.Option(min=0, help="Bytes of the body.")] = 0,
    user: Annotated[
        str | None, typer.Option(help="Who would publish: permissions count then.", autocompletion=of_users)
    ] = None,
    vhost: Vhost = "/",
    as_json: AsJson = False,
) -> None:
    """Say which way a message would take, step by step and why: to which queues, and where it goes if it dies there.

    Nothing is published. The options are those of `leveret messages publish`.
    """
    if (to is None) == (exchange is None):
        raise typer.BadParameter("say where to: either the name of a queue, or --exchange with its --key")
    if to is not None and key is not None:
        raise typer.BadParameter("the name of a queue is the key; --key goes with --exchange", param_hint="--key")
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
    """An explanation, for people."""
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
            yield f"Way {number}, of dead letters with key {keys}:"
        yield from _path(each)
    if not found["is_complete"]:
        yield ""
        yield "There is more than is shown here."
    if not found["is_exact"]:
        yield "Exchanges, queues or bindings have changed while they were looked at."


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
    """An exchange, what it does, and the exchanges that come next."""
    step = steps[place]
    margin = INDENT * min(depth, DEEPEST)
    name = f"exchange '{step['name']}'" if step["name"] else "the default exchange"
    yield f"{margin}{name} ({step['type']}{_ruled(step)}): {step['text']}"
    for each in step.get("interceptions", []):
        yield f"{margin}{INDENT}{each['what']}: {each['text']}"
    following = {each["name"]: at for at, each in enumerate(steps) if each.get("came_from") == place and at != place}
    for match in step.get("matches", []):
        perhaps = "perhaps " if match.get("is_by_chance") else ""
        arguments = f", arguments {json.dumps(match['arguments'])}" if match.get("arguments") else ""
        to = f"{match['destination_type']} '{match['destination']}'"
        again = "; the message has been there" if match.get("was_visited") else ""
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
    """The policies that apply."""
    names = [
        (word, step[key]) for key, word in (("policy", "policy"), ("operator_policy", "operator policy")) if key in step
    ]
    return "".join(f", {word} '{name}'" for word, name in names)


def _queue(step: dict[str, Any]) -> Iterator[str]:
    perhaps = "perhaps " if step.get("is_by_chance") else ""
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
        text += ": the same way again" if letters["path"] == 0 else f": way {letters['path']}"
    if letters.get("comes_back"):
        text += "; it comes back here if it was rejected on the way, and ends if it was not"
    yield text


def _when(reasons: list[str]) -> str:
    words = {"maxlen": "too much", "delivery_limit": "delivered too often"}
    return " or ".join(words.get(reason, reason) for reason in reasons)
