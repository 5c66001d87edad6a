"""leveret migrate: move definitions and messages between two running brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from leveret.node.cli.output import AsJson, Sure, refuse
from leveret.node.cli.target import Target, between_brokers

if TYPE_CHECKING:
    from leveret.node.migration.side import Side

WINDOW: Final = 1_000


@between_brokers
def migrate(
    target: Target,
    origin: Annotated[
        str | None, typer.Option("--from", help="Source broker: a URL as for --url, or a profile.")
    ] = None,
    recipient: Annotated[
        str | None, typer.Option("--to", help="Target broker, to move back: a URL or a profile.")
    ] = None,
    origin_amqp: Annotated[
        str | None,
        typer.Option("--from-amqp", help="AMQP URL of the source, if its API names the wrong port: amqp://HOST."),
    ] = None,
    recipient_amqp: Annotated[str | None, typer.Option("--to-amqp", help="AMQP URL of the target.")] = None,
    vhost: Annotated[list[str] | None, typer.Option(help="Only this virtual host. Repeatable.")] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="Only messages of queues whose names match, such as orders.*. Repeatable.")
    ] = None,
    window: Annotated[int, typer.Option(min=1, max=20_000, help="Maximum number of messages in flight.")] = WINDOW,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a lost connection to return.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; list the differences to expect.")] = False,
    only_definitions: Annotated[bool, typer.Option("--definitions-only", help="Move no messages.")] = False,
    only_messages: Annotated[bool, typer.Option("--messages-only", help="Move no definitions.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep moving messages until Ctrl-C, while clients switch brokers.")
    ] = False,
    journal: Annotated[str | None, typer.Option(help="File that records the progress.")] = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Move definitions and messages between two running brokers, RabbitMQ or Leveret.

    If you omit --from or --to, options such as --url or --data-dir name that
    broker. To resume after a stop or crash, run the same command again. It
    counts the messages that it may have moved twice. Their second copies have
    the header x-migrated-again.
    """
    from leveret.node.cli.migrating import Migrating, Options
    from leveret.node.migration.side import SideError

    if only_definitions and (only_messages or follow):
        other = "--messages-only" if only_messages else "--follow"
        raise typer.BadParameter(f"it excludes {other}", param_hint="--definitions-only")
    options = Options(
        vhosts=vhost or [],
        patterns=queue or [],
        window=window,
        wait_s=wait,
        follow=follow,
        journal=journal,
        definitions=not only_messages,
        messages=not only_definitions,
        as_json=as_json,
    )
    try:
        source, to = _sides(target, origin, recipient, origin_amqp, recipient_amqp)
    except SideError as error:
        refuse(str(error))
    try:
        migrating = Migrating(source, to, options)
        if dry_run:
            migrating.show_plan()
        else:
            migrating.run(yes)
    finally:
        source.close()
        to.close()


def _sides(
    target: Target, origin: str | None, recipient: str | None, origin_amqp: str | None, recipient_amqp: str | None
) -> tuple[Side, Side]:
    """The source and the target."""
    from leveret.node.cli.sides import other_side, this_side

    if origin is None and recipient is None:
        text = "give the source broker with --from, or the target broker with --to"
        raise typer.BadParameter(text)
    if origin is not None and recipient is not None:
        if target.data_dir or target.control or target.url or target.profile:
            raise typer.BadParameter("--from and --to already name both brokers: leave out the other option")
        to = other_side(recipient, "--to", target.ca_file, recipient_amqp)
        return other_side(origin, "--from", target.ca_file, origin_amqp), to
    if origin is not None:
        here = this_side(target, "--to", recipient_amqp)
        return other_side(origin, "--from", target.ca_file, origin_amqp), here
    assert recipient is not None
    here = this_side(target, "--from", origin_amqp)
    return here, other_side(recipient, "--to", target.ca_file, recipient_amqp)
