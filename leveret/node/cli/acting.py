"""leveret messages move, copy, delete, requeue, redrive and edit: act on messages of a queue.

The command first counts what it would do, and asks at a terminal. With --yes it acts at once.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from leveret.node.cli import going_on
from leveret.node.cli.arguments import arguments_of
from leveret.node.cli.asking import broker_at
from leveret.node.cli.choosing import Choice, to_act, to_redrive
from leveret.node.cli.content import body_of, properties_of
from leveret.node.cli.names import of_exchanges, of_queues
from leveret.node.cli.option_groups import grouped
from leveret.node.cli.output import asks, confirm, progress, refuse
from leveret.node.cli.queues import QueueName, Vhost, messages
from leveret.node.cli.searching import say_lost
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.transfer import Stop
from leveret.node.cli.work import Account, Work
from leveret.node.printable import say, say_json

PANEL: Final = "Execution"


def _option(*names: str, text: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PANEL, **more)


ToQueue = Annotated[str | None, typer.Option("--to", help="Destination queue.", autocompletion=of_queues)]
ToExchange = Annotated[
    str | None, typer.Option("--to-exchange", help="Destination exchange.", autocompletion=of_exchanges)
]
Key = Annotated[str | None, typer.Option(help="New routing key. Default: each message keeps its own.")]


@dataclass(frozen=True)
class Way:
    """The options that all acting commands share."""

    rate: int | None
    dry_run: bool
    yes: bool
    as_json: bool


WAY: Final[dict[str, tuple[Any, Any]]] = {
    "rate": (
        Annotated[int | None, _option("--rate", text="Maximum number of messages per second.", min=1, max=1_000_000)],
        None,
    ),
    "dry_run": (Annotated[bool, _option("--dry-run", text="Only count the messages; change nothing.")], False),
    "yes": (Annotated[bool, _option("--yes", "-y", text="Act at once, without counting and asking first.")], False),
    "as_json": (Annotated[bool, _option("--json", text="Print the result as JSON.")], False),
}


def some_way(function: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of WAY; its function gets them as `way`."""
    return grouped(function, "way", WAY, Way)


@dataclass(frozen=True)
class Words:
    """The words for an action. do, done, would: as in `Move 3 messages`, `Moved 3 messages` and `would be moved`.

    where: the end of the sentence, such as the destination.

    rest: describes the messages not yet processed.
    """

    do: str
    done: str
    would: str
    where: str = ""
    rest: str = "the rest was not changed"

    def sentence(self, verb: str, account: Account, queue: str) -> str:
        """`Moved 3 messages of queue 'a' to queue 'b'`, and the counts of failures."""
        text = f"{verb} {messages(account.done)} of queue '{queue}'{self.where}"
        more = [
            f"{count:,} {what}"
            for count, what in (
                (account.gone, "already gone"),
                (account.refused, "refused"),
                (account.unsafe, "not written to the disk"),
            )
            if count
        ]
        return "; ".join([text, *more, *self.left_alone(account)])

    def counted(self, account: Account, queue: str) -> str:
        """`3 of 10 messages of queue 'a' would be moved to queue 'b'`, and the counts of skipped ones."""
        text = f"{account.done:,} of {messages(account.total)} of queue '{queue}' would {self.would}{self.where}"
        return "; ".join([text, *self.left_alone(account)]) + "."

    def so_far(self, account: Account, queue: str) -> str:
        """What was done before an early end, and how to continue."""
        done = self.sentence(self.done, account, queue)
        sure = "" if account.is_sure else ", as far as known"
        how = f" Continue with: {going_on.command(account.place)}" if account.place and account.is_sure else ""
        return f"{done[0].lower()}{done[1:]}{sure}; {self.rest}.{how}"

    def stopped(self, account: Account, queue: str) -> str:
        """Why the action stopped, and what was done before."""
        if not account.looked:
            return account.error
        return f"{account.error}; {self.so_far(account, queue)}"

    def left_alone(self, account: Account) -> list[str]:
        """The counts of skipped messages, with reasons."""
        return [f"{count:,} skipped: {reason}" for reason, count in sorted(account.skipped.items())]


def _destination(
    queue: str | None, exchange: str | None, key: str | None, is_needed: bool = True
) -> tuple[dict[str, Any], str]:
    """The destination of messages, as fields of the API request and in words."""
    if queue is not None and exchange is not None:
        raise typer.BadParameter("give either --to or --to-exchange", param_hint="--to")
    if is_needed and queue is None and exchange is None:
        raise typer.BadParameter("give --to QUEUE, or --to-exchange EXCHANGE, optionally with --key")
    if key is not None and exchange is None:
        raise typer.BadParameter("--key requires --to-exchange", param_hint="--key")
    if queue is not None:
        return {"to_queue": queue}, f" to queue '{queue}'"
    if exchange is None:
        return {}, ""
    with_key = "" if key is None else f" with the key '{key}'"
    name = f"exchange '{exchange}'" if exchange else "the default exchange"
    return {"to_exchange": exchange, "routing_key": key}, f" to {name}{with_key}"


@at_broker
@to_act
@some_way
def move(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    to: ToQueue = None,
    to_exchange: ToExchange = None,
    key: Key = None,
    vhost: Vhost = "/",
) -> None:
    """Move messages to another queue or to an exchange.

    Safe against broker crashes. Messages keep their properties, routing key and age.
    """
    request, where = _destination(to, to_exchange, key)
    words = Words("Move", "Moved", "be moved", where)
    _act(target, choice, queue, vhost, {"action": "move", **request}, words, way)


@at_broker
@to_act
@some_way
def copy(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    to: ToQueue = None,
    to_exchange: ToExchange = None,
    key: Key = None,
    vhost: Vhost = "/",
) -> None:
    """Copy messages to another queue or to an exchange."""
    request, where = _destination(to, to_exchange, key)
    words = Words("Copy", "Copied", "be copied", where, "the rest was not copied")
    _act(target, choice, queue, vhost, {"action": "copy", **request}, words, way)


@at_broker
@to_act
@some_way
def delete(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    vhost: Vhost = "/",
) -> None:
    """Delete messages for good, without dead-lettering them."""
    words = Words("Delete", "Deleted", "be deleted")
    _act(target, choice, queue, vhost, {"action": "delete"}, words, way)


@at_broker
@to_act
@some_way
def requeue(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    to_front: Annotated[
        bool,
        typer.Option(
            "--to-front",
            help="Move to the head of the queue instead. Messages lose this place when the broker restarts.",
        ),
    ] = False,
    vhost: Vhost = "/",
) -> None:
    """Move messages to the end of their queue, or to its head."""
    words = Words("Requeue", "Requeued", "be requeued", " at its head" if to_front else " at its end")
    _act(target, choice, queue, vhost, {"action": "requeue", "to_front": to_front}, words, way)


@at_broker
@to_redrive
@some_way
def redrive(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    max_redrives: Annotated[
        int,
        typer.Option("--max-redrives", min=1, max=1_000_000, help="Skip messages already sent back this many times."),
    ] = 3,
    vhost: Vhost = "/",
) -> None:
    """Send dead letters back to the queues where they died: all of them, unless you give conditions."""
    words = Words("Send", "Sent", "be sent", " back")
    request = {"action": "redrive", "max_redrives": max_redrives}
    _act(target, choice, queue, vhost, request, words, way, needs_choice=False)


@at_broker
@to_act
@some_way
def edit(
    target: Target,
    choice: Choice,
    way: Way,
    queue: QueueName,
    set_body: Annotated[str | None, typer.Option(help="The new body as text.")] = None,
    set_body_file: Annotated[
        str | None, typer.Option(help="File that contains the new body; - for standard input.")
    ] = None,
    set_property: Annotated[list[str] | None, typer.Option(help="Set a property, as NAME=VALUE. Repeatable.")] = None,
    set_header: Annotated[
        list[str] | None,
        typer.Option(help="Set a header, as NAME=VALUE. A value that is not JSON is text. Repeatable."),
    ] = None,
    remove_property: Annotated[list[str] | None, typer.Option(help="Remove a property. Repeatable.")] = None,
    remove_header: Annotated[list[str] | None, typer.Option(help="Remove a header. Repeatable.")] = None,
    to: ToQueue = None,
    to_exchange: ToExchange = None,
    key: Key = None,
    vhost: Vhost = "/",
) -> None:
    """Change the given parts of messages, and republish them at the end of their queue or elsewhere."""
    request, where = _destination(to, to_exchange, key, is_needed=False)
    if set_body is not None and set_body_file is not None:
        raise typer.BadParameter("give either --set-body or --set-body-file")
    change: dict[str, Any] = {
        "properties": {
            **dict.fromkeys(name.replace("-", "_") for name in remove_property or []),
            **properties_of(set_property, "--set-property"),
        },
        "headers": {**dict.fromkeys(remove_header or []), **arguments_of(set_header)},
    }
    if set_body is not None or set_body_file is not None:
        change["payload"] = base64.b64encode(body_of(set_body, set_body_file)).decode()
        change["payload_encoding"] = "base64"
    elif not change["properties"] and not change["headers"]:
        raise typer.BadParameter("give at least one change, such as --set-body, --set-header or --remove-header")
    words = Words("Change", "Changed", "be changed", f" and republished{where or ' at its end'}")
    _act(target, choice, queue, vhost, {"action": "republish", "edit": change, **request}, words, way)


def _act(
    target: Target,
    choice: Choice,
    queue: str,
    vhost: str,
    request: dict[str, Any],
    words: Words,
    way: Way,
    needs_choice: bool = True,
) -> None:
    if needs_choice and not choice.is_narrow and not choice.everything:
        raise typer.BadParameter("choose messages with conditions such as --where, with --id, or with --all")
    if not way.yes and not way.dry_run and not asks(False):
        raise typer.BadParameter("this is not a terminal, so the command cannot ask: add --yes, or --dry-run to count")
    with broker_at(target) as broker:
        work = Work(broker, queue, vhost, choice, {**request, "rate": way.rate})
        if not way.yes:
            with Stop() as stop, progress("Counting") as bar:
                account = work.count(stop, bar)
            if account.is_interrupted:
                say("Interrupted: nothing was changed.", aside=True)
                raise typer.Exit(stop.status)
            if account.error:
                refuse(f"{account.error}; nothing was changed")
            is_end = way.dry_run or not account.done
            if is_end and way.as_json:
                say_json(account.as_json(True))
            else:
                say(words.counted(account, queue), aside=not is_end)
            say_lost(account.missing, account.undecided, queue)
            if is_end:
                return
            confirm(words.sentence(words.do, Account(done=account.done), queue), False)
        with Stop() as stop, progress(f"{words.do}…") as bar:
            account = work.do(stop, bar)
    if way.as_json:
        say_json(account.as_json(False))
    if account.error:
        refuse(words.stopped(account, queue))
    if account.is_interrupted:
        say(f"Interrupted: {words.so_far(account, queue)}", aside=True)
        raise typer.Exit(stop.status)
    if not way.as_json:
        say(f"{words.sentence(words.done, account, queue)}.")
    say_lost(account.missing, account.undecided, queue)
    if account.place is not None and account.found == choice.limit:
        say(f"Limit reached. Continue with: {going_on.command(account.place)}", aside=True)
    if account.refused:
        refuse(f"the queue has no room for {messages(account.refused)}; refused messages were not changed")
    if account.unsafe:
        refuse(f"{messages(account.unsafe)} could not be written to disk, and will be lost when the broker stops")
