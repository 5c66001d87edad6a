"""leveret definitions: export and import definitions files in the format of RabbitMQ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, refuse
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.definitions_file import FileError, parse, read
from leveret.node.printable import complain, say, say_json
from leveret.store.files import replacing

app = typer.Typer(help="Export and import definitions files in the format of RabbitMQ.", no_args_is_help=True)

Vhost = Annotated[str | None, typer.Option(help="Only this virtual host, as a file for a single one.")]


@app.command(epilog=examples("definitions export definitions.json", "definitions export --for rabbitmq-4.3 other.json"))
@at_broker
def export(
    target: Target,
    file: Annotated[str, typer.Argument(help="File to write; - for standard output.")] = "-",
    vhost: Vhost = None,
    recipient: Annotated[
        str | None,
        typer.Option("--for", help="Leave out what this broker does not support, and list it: rabbitmq-4.3."),
    ] = None,
    plugins: Annotated[
        list[str] | None, typer.Option("--plugin", help="A plugin enabled in the broker of --for. Repeatable.")
    ] = None,
) -> None:
    """Export all definitions to a file that Leveret and RabbitMQ can import."""
    if plugins and recipient is None:
        raise typer.BadParameter("it requires --for", param_hint="--plugin")
    fitted: dict[str, object] = {} if recipient is None else {"target": recipient, "plugins": plugins or []}
    answer = perform(target, "export_definitions", vhost=vhost, **fitted)
    assert isinstance(answer, dict)
    notes = answer.pop("notes", [])
    if file == "-":
        say_json(answer)
    else:
        try:
            with replacing(Path(file)) as out:
                out.write(f"{json.dumps(answer, indent=2)}\n".encode())
        except OSError as error:
            refuse(f"cannot write {file}: {error.strerror}")
        say(f"Exported {counted({key: len(value) for key, value in answer.items() if isinstance(value, list)})}.")
    for note in notes:
        complain("note", f"{note['subject']}: {note['reason']}")
    if recipient is not None:
        count = len(notes) or "no"
        complain(
            "leveret", f"{count} {'difference' if len(notes) == 1 else 'differences'} between the file and this broker"
        )
    for user in answer.get("users", []):
        if "leveret_credential" in user:
            text = "the password is an Argon2 hash, which RabbitMQ cannot read; there the user will have no password"
            complain("note", f"user '{user['name']}': {text}")


@app.command("import", epilog=examples("definitions import definitions.json --atomic"))
@at_broker
def import_definitions(
    target: Target,
    file: Annotated[str, typer.Argument(help="File to read; - for standard input.")],
    atomic: Annotated[bool, typer.Option("--atomic", help="Apply nothing if there is any error.")] = False,
    vhost: Vhost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Apply nothing; print the expected result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a definitions file of Leveret or RabbitMQ. Existing objects that are not in the file stay."""
    try:
        content = parse(sys.stdin.buffer, "-") if file == "-" else read(Path(file))
    except FileError as error:
        refuse(str(error))
    given = {"content": content, "vhost": vhost, "atomic": atomic}
    if dry_run:
        given["dry_run"] = True
    result = perform(target, "import_definitions", **given)
    assert isinstance(result, dict)
    if as_json:
        say_json(result)
    else:
        for note in result["notes"]:
            complain("note", f"{note['path']}: {note['reason']}")
        for wrong in result["errors"]:
            complain("error", f"{wrong['path']}: {wrong['reason']}")
        say(f"{'Would import' if dry_run else 'Imported'} {counted(result['applied'])}.")
    if result["errors"]:
        count = len(result["errors"])
        entries = "1 entry is wrong" if count == 1 else f"{count} entries are wrong"
        refuse(f"{entries}; {'nothing was' if atomic or dry_run else 'all others were'} applied")


def counted(sections: dict[str, int]) -> str:
    """Counts in words, such as `3 queues, 1 user`."""
    named = []
    for section, count in sections.items():
        words = section.replace("_", " ")
        single = words[:-3] + "y" if words.endswith("ies") else words.removesuffix("s")
        if count:
            named.append(f"{count} {single if count == 1 else words}")
    return ", ".join(named) or "nothing"
