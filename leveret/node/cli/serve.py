"""leveret serve: the command line, with an option for each setting."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from leveret.node.config import OPTIONS, Declared
from leveret.node.kinds import Switch


class LongOptions(TyperCommand):
    """A command whose help shows long option names in full, even at 80 columns."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help. By default, typer makes both columns equally wide and cuts long names."""
        from rich.table import Column, Table
        from typer import rich_utils

        def with_whole_options(**style: Any) -> Table:
            return Table(Column(no_wrap=True), **style)

        names = vars(rich_utils)
        names["Table"] = with_whole_options
        try:
            super().format_help(ctx, formatter)
        finally:
            names["Table"] = Table


def serve(**options: object) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Every option is also a TOML setting and an environment variable: --data-dir, data-dir, LEVERET_DATA_DIR.
    """
    from leveret.node.run import run

    raise typer.Exit(run({declared.name: options[declared.attribute] for declared in OPTIONS.values()}))


def _annotation(declared: Declared) -> Any:
    """The typer annotation of an option."""
    kind = declared.setting.kind

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in kind.choices if choice.startswith(incomplete)]

    option = typer.Option(
        declared.option,
        help=f"{declared.setting.help} Default: {declared.default_words}.",
        metavar=kind.metavar or None,
        rich_help_panel=declared.setting.group,
        show_default=False,
        autocompletion=complete if kind.choices else None,
    )
    return Annotated[bool | None if isinstance(kind, Switch) else str | None, option]


def _declare() -> None:
    """Give serve() a signature with one parameter per setting, for typer."""
    annotations = {declared.attribute: _annotation(declared) for declared in OPTIONS.values()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in annotations.items()
    ]
    serve.__annotations__ = annotations
    serve.__dict__["__signature__"] = inspect.Signature(parameters)


_declare()
