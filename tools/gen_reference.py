"""Write the reference pages that are generated from the code: commands, error texts, and brokers in tests.

    python tools/gen_reference.py            # docs/commands.md, docs/errors.md, docs/testing/reference.md
    python tools/gen_reference.py DIRECTORY  # the same pages, below another directory

A test compares the pages with the output of this tool.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from leveret import testing  # noqa: E402
from leveret.core.errors import refusals  # noqa: E402
from leveret.node.cli import app  # noqa: E402
from leveret.session.base.errors import as_reply  # noqa: E402
from leveret.testing.virtual_host import AnyVirtualHost  # noqa: E402
from leveret.wire.constants import REPLY_NAMES  # noqa: E402
from tools.error_texts import TOLD  # noqa: E402

SETTINGS = ("serve",)  # a command whose options have a page of their own
TARGET = ("data_dir", "control", "url", "profile", "ca_file")  # options that say which broker is meant

COMMANDS = """\
# All commands

Every command of `leveret`, with the text of its `--help`. [Operating a broker from the command line](cli.md) explains
how they work together. A command with the line *broker* also takes `--data-dir`, `--control`, `--url`, `--profile` and
`--ca-file`, which [select the broker](cli.md#choosing-the-broker).
"""
ERRORS = """\
# Error texts

The texts that the broker sends when it refuses something, and what to do. They are sorted by their number, and almost
all are those of RabbitMQ. Words in capitals stand for names and values. An error of a channel closes the channel, an
error of a connection closes the connection. The log has the same text, often with a hint that no client receives. If
you have a symptom but no error text, read [troubleshooting](troubleshooting.md).
"""
TESTING = """\
# Reference: brokers in tests

`leveret.Broker` and `leveret.AsyncBroker` are a broker in your process. The fixtures `leveret` and `leveret_async` are
a `VirtualHost` and an `AsyncVirtualHost` of it. [A real broker inside your tests](README.md) shows how to use them.
"""

ADVICE = {
    "no_queue": "Declare the queue first, or correct the name. The log names a similar queue if there is one.",
    "no_exchange": "Declare the exchange first, or correct the name. The log names a similar exchange if there is one.",
    "no_previously_declared_queue": "Declare a queue on the same channel first, or give the queue's name.",
    "locked_queue": "Use the connection that declared the queue, or declare it without `exclusive`.",
    "faulty_queue": "Read the cause in the log and remove it. Then run `leveret queues repair QUEUE`.",
    "lost_queue": "Connect to the node that has the queue.",
    "no_get_with_single_active": "Consume instead of getting single messages.",
    "queue_in_exclusive_use": "Cancel the other consumer, or consume without `exclusive`.",
    "reserved_name": "Choose a name that does not begin with `amq.`.",
    "default_exchange": "Publish to the default exchange with the queue's name as routing key. It needs no binding.",
    "system_exchange": "Leave it. Exchanges whose names begin with `amq.` always exist.",
    "internal_exchange": "Publish to an exchange that is bound to this one.",
    "access_refused": "Grant the permission: `leveret permissions set USER CONFIGURE WRITE READ`.",
    "topic_access_refused": "Change the topic permission: `leveret topic-permissions set`.",
    "vhost_access_refused": "Grant permissions in the virtual host: `leveret permissions set USER … --vhost VHOST`.",
    "node_connection_limit": "Close connections, or raise `--max-connections`.",
    "vhost_connection_limit": "Close connections, or raise the limit: `leveret limits set LIMIT VALUE --vhost VHOST`.",
    "user_connection_limit": "Close connections, or raise the limit: `leveret limits set LIMIT VALUE --user USER`.",
    "user_channel_limit": "Close channels, or raise the limit: `leveret limits set LIMIT VALUE --user USER`.",
    "node_channel_limit": "Close channels, or raise `--max-channels`.",
    "vhost_limit": "Delete what is not needed, or raise the limit: `leveret limits set LIMIT VALUE --vhost VHOST`.",
    "unknown_exchange_type": "Use a [type of exchange](exchanges.md) that exists.",
    "inequivalent": "Declare it with the arguments that it has, or delete it first. The log says who declared it.",
    "invalid_argument": "Correct the value. [Arguments and policies](policies.md) says what each argument takes.",
    "argument_of_other_type": "Leave the argument out, or choose the queue type that has it.",
    "invalid_property": "Declare a quorum queue durable, not exclusive and not auto-delete.",
    "server_named": "Give the queue a name.",
    "unconditional_delete_only": "Delete the queue without `if-unused` and `if-empty`.",
    "unknown_tag": "Acknowledge each delivery once, on the channel that received it, and none that came with `no_ack`.",
    "in_use": "Cancel the consumers or remove the bindings first, or delete without `if-unused`.",
    "not_empty": "Purge the queue first, or delete without `if-empty`.",
    "invalid_type": "Give the name as a string.",
}
"""What to do, for each refusal of leveret/core/errors/refusals.py."""


# -- commands


def commands_page() -> Iterator[str]:
    """The lines of docs/commands.md."""
    yield COMMANDS
    noun = ""
    for words, command in _walk(typer.main.get_command(app)):
        if words[0] != noun and len(words) > 1:
            yield f"## leveret {words[0]}\n"
        noun = words[0]
        yield from _command(words, command)


def _walk(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not getattr(command, "hidden", False):
        if not hasattr(command, "commands"):
            yield words, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from _walk(inner, *words, name)


def _command(words: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"{'#' * min(len(words) + 1, 3)} leveret {' '.join(words)}\n"
    yield _prose(command.help)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    own = [each for each in options if each.name not in TARGET]
    if words == SETTINGS:
        yield "Its options are the [settings](settings.md).\n"
        return
    shape = "".join(f" {_argument(each)}" for each in arguments)
    yield f"    leveret {' '.join(words)}{shape}{' [OPTIONS]' if options else ''}\n"
    if arguments or own:
        yield "| | |"
        yield "|---|---|"
        for each in arguments:
            yield f"| `{_argument(each)}` | {_cell(each.help)} |"
        for each in own:
            names = ", ".join(f"`{name}`" for name in [*each.opts, *each.secondary_opts])
            yield f"| {names} | {_cell(each.help)}{_default(each)} |"
        yield ""
    if len(own) < len(options):
        yield "*broker*\n"
    examples = re.findall(r"^\$ (.*)$", command.epilog or "", re.MULTILINE)
    if examples:
        yield "".join(f"    {each}\n" for each in examples)


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name).upper().replace("_", "-")
    name += "…" if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    if not parameter.show_default or value in (None, False, "", ()) or callable(value):
        return ""
    return f" Default: `{value}`."


def _cell(text: str | None) -> str:
    return _prose(text).strip().replace("\n", " ").replace("|", "\\|")


# -- errors


def errors_page() -> Iterator[str]:
    """The lines of docs/errors.md."""
    yield ERRORS
    rows: dict[int, list[str]] = {}
    for name, when, refusal in _refusals():
        reply = as_reply(refusal)
        scope = "channel" if reply.is_soft else "connection"
        rows.setdefault(reply.code, []).append(_row(scope, reply.code, reply.reply_text, _occasion(when), ADVICE[name]))
    for told in TOLD:
        rows.setdefault(told.code, []).append(_row(told.scope, told.code, told.text, told.when, told.advice))
    for code in sorted(rows):
        yield f"## {code} {REPLY_NAMES[code]}\n"
        yield "| The client receives | When | What to do |"
        yield "|---|---|---|"
        yield from rows[code]
        yield ""


def _row(scope: str, code: int, text: str, when: str, advice: str) -> str:
    return f"| {scope} {code}: `{text.replace('|', chr(92) + '|')}` | {when} | {advice} |"


def _refusals() -> Iterator[tuple[str, str, refusals.Refusal]]:
    """The name of each function that makes one, its docstring, and one with words in capitals for what it takes.

    They are read from the source: a compiled function has neither docstring nor annotations.
    """
    tree = ast.parse((ROOT / "leveret" / "core" / "errors" / "refusals.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == "Refusal":
            needed = node.args.args[: len(node.args.args) - len(node.args.defaults)]
            make = getattr(refusals, node.name)
            yield node.name, ast.get_docstring(node) or "", make(*map(_placeholder, needed))


def _occasion(docstring: str) -> str:
    """What a docstring says before it comes to the parameters."""
    return re.split(r" (?=[a-z_]+: )", docstring.partition("\n")[0])[0]


def _placeholder(parameter: ast.arg) -> object:
    assert parameter.annotation is not None
    values = {"int": 1, "list[int]": [1], "tuple[str, ...]": ("TYPE",)}
    return values.get(ast.unparse(parameter.annotation), parameter.arg.upper())


# -- brokers in tests


def testing_page() -> Iterator[str]:
    """The lines of docs/testing/reference.md."""
    yield TESTING
    for name in ("Broker", "AsyncBroker"):
        yield from _class(getattr(testing, name), [getattr(testing, name), *_bases(getattr(testing, name))])
    for name in ("VirtualHost", "AsyncVirtualHost"):
        yield from _class(getattr(testing, name), [getattr(testing, name)])
    yield from _class(AnyVirtualHost, [AnyVirtualHost], "Both kinds of virtual host")
    for name in testing.__all__:
        found = getattr(testing, name)
        if inspect.isclass(found) and not issubclass(found, AnyVirtualHost):
            yield from _class(found, [found])
    yield "## compare_recordings\n"
    yield from _member("compare_recordings", testing.compare_recordings)


def _bases(kind: type) -> list[type]:
    """Those that only brokers have."""
    return [each for each in kind.__mro__ if each.__name__.startswith("_") and each.__module__.startswith("leveret")]


def _class(kind: type, sources: list[type], title: str = "") -> Iterator[str]:
    yield f"## {title or kind.__name__}\n"
    if "__init__" in vars(kind) and not dataclasses.is_dataclass(kind) and kind.__name__.endswith("Broker"):
        yield f"```python\n{kind.__name__}{_signature(vars(kind)['__init__'], is_method=True)}\n```\n"
    if title:
        yield "What a `VirtualHost` and an `AsyncVirtualHost`, and so a broker too, have.\n"
    else:
        yield _prose(inspect.getdoc(kind))
    if dataclasses.is_dataclass(kind):
        fields = [each for each in dataclasses.fields(kind) if not each.name.startswith("_")]
        if fields:
            yield f"Fields: {', '.join(f'`{each.name}: {each.type}`' for each in fields)}.\n"
    for source in sources:
        for name, found in vars(source).items():
            if not name.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)):
                yield from _member(name, found)


def _member(name: str, found: Any) -> Iterator[str]:
    if isinstance(found, property):
        assert found.fget is not None
        yield f"### {name}\n"
        yield _prose(inspect.getdoc(found.fget))
        return
    yield f"### {name}()\n"
    word = "await " if inspect.iscoroutinefunction(found) else ""
    is_method = next(iter(inspect.signature(found).parameters), "") == "self"
    yield f"```python\n{word}{name}{_signature(found, is_method)}\n```\n"
    yield _prose(inspect.getdoc(found))


def _signature(function: Any, is_method: bool) -> str:
    found = inspect.signature(function)
    parameters = list(found.parameters.values())[1 if is_method else 0 :]
    text = str(found.replace(parameters=parameters))
    return re.sub(
        r"'([^']*)'",
        lambda match: match[1] if match[1].isidentifier() or " " in match[1] or "[" in match[1] else match[0],
        text,
    )


# -- words


def _prose(text: str | None) -> str:
    """A docstring or a help text as a paragraph, each sentence about a parameter on its own."""
    assert text, "everything here has a docstring"
    return inspect.cleandoc(text).replace("\b", "") + "\n"


PAGES = {"commands.md": commands_page, "errors.md": errors_page, "testing/reference.md": testing_page}


def main() -> None:
    """Write the pages."""
    docs = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    for name, lines in PAGES.items():
        target = docs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines()).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
