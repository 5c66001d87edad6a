"""leveret migrate: definitions and messages of one running broker go to another, from RabbitMQ or back to it."""

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
        str | None, typer.Option("--from", help="Broker to bring over: a URL as that of --url, or a profile.")
    ] = None,
    recipient: Annotated[str | None, typer.Option("--to", help="Broker to go to, for the way back.")] = None,
    origin_amqp: Annotated[
        str | None, typer.Option("--from-amqp", help="Its AMQP port, if its API names another: amqp://HOST.")
    ] = None,
    recipient_amqp: Annotated[str | None, typer.Option("--to-amqp", help="The same of the broker to go to.")] = None,
    vhost: Annotated[list[str] | None, typer.Option(help="Only this virtual host. Repeatable.")] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="Only messages of queues with such a name, as orders.*. Repeatable.")
    ] = None,
    window: Annotated[int, typer.Option(min=1, max=20_000, help="Messages in flight, at most.")] = WINDOW,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a broker that went away.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: list what will be different.")] = False,
    only_definitions: Annotated[bool, typer.Option("--definitions-only", help="Move no messages.")] = False,
    only_messages: Annotated[bool, typer.Option("--messages-only", help="Bring no definitions over.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C, while programs move over.")] = False,
    journal: Annotated[str | None, typer.Option(help="File in which it is written how far this is.")] = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Move definitions and messages of a running RabbitMQ or Leveret to another one.

    The other one is that of the options below, unless both --from and --to
    are given. Killed or stopped, the same command goes on where it was. What
    may be there twice then is counted, and has the header x-migrated-again.
    """
    from leveret.node.cli.migrating import Migrating, Options
    from leveret.node.migration.side import SideError

    if only_definitions and (only_messages or follow):
        other = "--messages-only" if only_messages else "--follow"
        raise typer.BadParameter(f"it goes without {other}", param_hint="--definitions-only")
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
    """Where messages come from, and where they go."""
    from leveret.node.cli.sides import other_side, this_side

    if origin is None and recipient is None:
        text = "say which broker is brought over with --from, or which one this broker goes to with --to"
        raise typer.BadParameter(text)
    if origin is not None and recipient is not None:
        if target.data_dir or target.control or target.url or target.profile:
            raise typer.BadParameter("--from and --to name both brokers already: leave out the other option")
        to = other_side(recipient, "--to", target.ca_file, recipient_amqp)
        return other_side(origin, "--from", target.ca_file, origin_amqp), to
    if origin is not None:
        here = this_side(target, "--to", recipient_amqp)
        return other_side(origin, "--from", target.ca_file, origin_amqp), here
    assert recipient is not None
    here = this_side(target, "--from", origin_amqp)
    return here, other_side(recipient, "--to", target.ca_file, recipient_amqp)
