"""leveret messages: publish, get and consume messages.

peek and search are in looking.py, the commands that act on messages in acting.py.
"""

from __future__ import annotations

import base64
import json
import sys
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from leveret.node.cli import acting, looking, tracing, transfer
from leveret.node.cli.arguments import arguments_of, examples
from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.columns import size
from leveret.node.cli.content import body_of, properties_of
from leveret.node.cli.exchanges import DEFAULT
from leveret.node.cli.names import of_exchanges, of_queues
from leveret.node.cli.output import refuse
from leveret.node.cli.queues import QueueName, Vhost, missing, no_vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say, say_json

HELP: Final = "Publish, search, inspect, consume, move, delete, redrive, export and import messages."
app = typer.Typer(help=HELP, no_args_is_help=True)

MOST: Final = 1_000  # messages per request
POLL_S: Final = 0.2  # between two checks whether the user pressed Ctrl-C
AHEAD: Final = 20  # prefetch of the consumer

AsLines = Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON.")]


class Way(StrEnum):
    """What to do with messages after showing them."""

    ACK = "ack_requeue_false"
    REQUEUE = "ack_requeue_true"


@app.callback(help=HELP)
def messages() -> None:
    """Messages in queues."""


@app.command(
    epilog=examples(
        "messages publish orders --body hello",
        "messages publish --exchange events --key order.new --file order.json",
        "messages publish orders --file - --property content_type=text/plain --header n=1",
    )
)
@at_broker
def publish(
    target: Target,
    to: Annotated[
        str | None, typer.Argument(help="Name of the queue. Omit with --exchange.", autocompletion=of_queues)
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Exchange to publish to.", autocompletion=of_exchanges)] = None,
    key: Annotated[str | None, typer.Option(help="Routing key. Requires --exchange.")] = None,
    body: Annotated[str | None, typer.Option(help="The body as text.")] = None,
    file: Annotated[str | None, typer.Option(help="File that contains the body; - for standard input.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--property", help="NAME=VALUE, such as content_type=text/plain. Repeatable.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE. A value that is not JSON is text. Repeatable.")
    ] = None,
    vhost: Vhost = "/",
) -> None:
    """Publish a message, wait for the confirm, and report whether it reached a queue; exit status 1 if not.

    The message is persistent unless you give --property delivery_mode=1.
    """
    if (to is None) == (exchange is None):
        raise typer.BadParameter("give either the name of a queue, or --exchange with --key")
    if to is not None and key is not None:
        raise typer.BadParameter(
            "with the name of a queue, that name is the routing key; --key requires --exchange", param_hint="--key"
        )
    if body is not None and file is not None:
        raise typer.BadParameter("give either --body or --file", param_hint="--file")
    properties = {"delivery_mode": 2, **properties_of(given, "--property")}
    if header:
        properties["headers"] = arguments_of(header)
    content = {
        "routing_key": to if to is not None else key or "",
        "payload": base64.b64encode(body_of(body, file)).decode(),
        "payload_encoding": "base64",
        "properties": properties,
    }
    where = path("exchanges", vhost, exchange or DEFAULT, "publish")
    what = no_vhost(vhost) if exchange is None else f"there is no exchange '{exchange}' in virtual host '{vhost}'"
    with broker_at(target) as broker:
        reply = broker.ask("POST", where, body=content)
        if reply.status == 404:
            refuse(what)
        if not reply.is_good:
            broker.refuse(reply)
        is_routed = broker.read(reply)["routed"]
    if not is_routed and to is not None:
        refuse(f"the message reached no queue: {missing(to, vhost)}")
    if not is_routed:
        refuse(f"the message reached no queue: no binding of exchange '{exchange}' matches the key '{key or ''}'")
    say(f"Published to queue '{to}'." if to is not None else f"Published to exchange '{exchange}'.")


@app.command(
    epilog=examples("messages get orders", "messages get orders --count 10 --ack", "messages get orders --json")
)
@at_broker
def get(
    target: Target,
    queue: QueueName,
    count: Annotated[int, typer.Option(min=1, help="Maximum number of messages.")] = 1,
    ack: Annotated[bool, typer.Option("--ack", help="Remove the messages from the queue.")] = False,
    requeue: Annotated[bool, typer.Option("--requeue", help="Put the messages back. This is the default.")] = False,
    as_json: AsLines = False,
    vhost: Vhost = "/",
) -> None:
    """Show messages from the head of a queue and put them back, flagged as redelivered. --ack removes them instead."""
    if ack and requeue:
        raise typer.BadParameter("give either --ack or --requeue", param_hint="--ack")
    shown = 0
    with broker_at(target) as broker:
        while shown < count:
            wanted = min(count - shown, MOST) if ack else count
            found = _fetch(broker, queue, vhost, wanted, Way.ACK if ack else Way.REQUEUE)
            for each in found:
                shown += 1
                show_message(each, shown, as_json)
            if not found or not ack:
                break
    if not shown and not as_json:
        say(f"Queue '{queue}' has no ready messages.", aside=True)


def _fetch(broker: Broker, queue: str, vhost: str, count: int, way: Way) -> list[dict[str, Any]]:
    body = {"count": count, "ackmode": way.value, "encoding": "auto"}
    reply = broker.do("POST", path("queues", vhost, queue, "get"), body, missing=missing(queue, vhost))
    found: list[dict[str, Any]] = broker.read(reply)
    return found


def show_message(message: dict[str, Any], number: int, as_json: bool) -> None:
    """Print one message, given as the API returns it."""
    if as_json:
        say_json(message, is_line=True)
        return
    origin = f"exchange '{message['exchange']}'" if message["exchange"] else "the default exchange"
    again = ", redelivered" if message["redelivered"] else ""
    say(f"{number}. {origin}, key '{message['routing_key']}', {size(message['payload_bytes'])}{again}")
    for name, value in message["properties"].items():
        say(f"   {name}: {value if isinstance(value, str) else json.dumps(value)}")
    kind = " (base64)" if message["payload_encoding"] == "base64" else ""
    lines = message["payload"].split("\n")
    say(f"   body{kind}: {lines[0]}")
    for line in lines[1:]:
        say(f"         {line}")


@app.command(epilog=examples("messages consume orders", "messages consume orders --count 100 --json"))
@at_broker
def consume(
    target: Target,
    queue: QueueName,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many messages.")] = None,
    as_json: AsLines = False,
    vhost: Vhost = "/",
) -> None:
    """Consume messages from a queue and print them, until Ctrl-C. Messages not printed stay in the queue."""
    from leveret.node.amqp import AmqpError
    from leveret.node.cli.amqp import connect_amqp
    from leveret.wire.methods import (
        BasicAck,
        BasicCancel,
        BasicConsume,
        BasicConsumeOk,
        BasicDeliver,
        BasicQos,
        BasicQosOk,
    )

    client = connect_amqp(target, vhost)
    shown = 0
    try:
        client.call(BasicQos(0, AHEAD if count is None else min(AHEAD, count)), BasicQosOk)
        client.call(BasicConsume(queue), BasicConsumeOk)
        with transfer.Stop() as stop:
            while not stop.is_wanted and (count is None or shown < count):
                got = client.next(POLL_S)
                if got is None:
                    continue
                if isinstance(got.method, BasicCancel):
                    refuse(f"queue '{queue}' was deleted")
                if not isinstance(got.method, BasicDeliver):
                    continue
                shown += 1
                show_message(_as_item(got), shown, as_json)
                sys.stdout.flush()
                client.send(BasicAck(got.method.delivery_tag))
    except AmqpError as error:
        refuse(str(error))
    finally:
        client.close()
    say(f"Consumed {shown} message{'s' * (shown != 1)} from queue '{queue}'.", aside=True)


def _as_item(got: Any) -> dict[str, Any]:
    """A delivery in the form that the API uses."""
    import msgspec

    from leveret.api.views.properties import write_properties

    try:
        payload, encoding = got.body.decode(), "string"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(got.body).decode(), "base64"
    return {
        "payload_bytes": len(got.body),
        "redelivered": got.method.redelivered,
        "exchange": got.method.exchange,
        "routing_key": got.method.routing_key,
        "properties": msgspec.to_builtins(write_properties(got.properties)),
        "payload": payload,
        "payload_encoding": encoding,
    }


app.command(
    epilog=examples(
        "messages peek orders",
        "messages peek orders --newest --limit 1 --json",
        "messages peek dead --died rejected --died-in orders",
        "messages peek orders --state unacked",
    )
)(looking.peek)
app.command(
    epilog=examples(
        "messages search orders --body timeout",
        "messages search orders --where 'headers.x-tenant=acme' --older 5m",
        "messages search orders --where 'json:$.order.total>100' --json",
        "messages search orders --pattern '^\\{\"id\": *4[0-9]' --limit 20",
        "messages search dead --died expired --export expired.jsonl",
    )
)(looking.search)
app.command(
    epilog=examples(
        "messages move orders --to parking --where 'json:$.customer=null'",
        "messages move orders --to-exchange events --key retry --all --rate 100",
        "messages move orders --to parking --id 7-4711 --yes",
    )
)(acting.move)
app.command(
    epilog=examples(
        "messages copy orders --to test --newest --limit 100 --all",
        "messages copy orders --to-exchange events --where 'type=order.new' --dry-run",
    )
)(acting.copy)
app.command(
    epilog=examples(
        "messages delete orders --older 7d --dry-run",
        "messages delete orders --id 7-4711",
        "messages delete dead --where 'headers.x-tenant=test' --yes",
    )
)(acting.delete)
app.command(epilog=examples("messages requeue orders --redelivered", "messages requeue orders --id 7-4711 --to-front"))(
    acting.requeue
)
app.command(
    epilog=examples(
        "messages redrive dead --dry-run",
        "messages redrive dead --died-in orders --rate 50",
        "messages redrive dead --max-redrives 1 --yes",
    )
)(acting.redrive)
app.command(
    epilog=examples(
        "messages edit orders --id 7-4711 --set-body '{\"id\": 4711}'",
        "messages edit orders --where 'headers.retry exists' --remove-header retry",
        "messages edit parking --all --set-property priority=5 --to orders",
    )
)(acting.edit)
app.command(epilog=examples("messages export orders orders.jsonl", "messages export orders | gzip > orders.gz"))(
    transfer.export
)
app.command("import", epilog=examples("messages import orders orders.jsonl", "messages import orders < orders.jsonl"))(
    transfer.import_messages
)
app.command(
    epilog=examples("messages trace --queue orders", "messages trace --user shop --key 'order.#' --seconds 10 --json")
)(tracing.trace)
app.command(epilog=examples("messages refused", "messages refused --vhost shop --limit 10 --json"))(tracing.refused)
