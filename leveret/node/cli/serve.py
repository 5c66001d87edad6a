"""leveret serve as the command line shows it: an option for each setting, with its help and its completion."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from leveret.node.config import OPTIONS, Declared
from leveret.node.kinds import Switch


class LongOptions(TyperCommand):
    """A command whose help has room for the longest option, at 80 columns too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help. typer makes the columns of options and texts equally wide, and cuts what does not fit."""
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

    Every option is also a setting in the TOML file and a variable: --data-dir is data-dir and LEVERET_DATA_DIR.
    """
    from leveret.node.run import run

    raise typer.Exit(run({declared.name: options[declared.attribute] for declared in OPTIONS.values()}))


def _annotation(declared: Declared) -> Any:
    """What typer has to know of an option."""
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
    """Let typer find an option for each setting in the signature of serve."""
    annotations = {declared.attribute: _annotation(declared) for declared in OPTIONS.values()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in annotations.items()
    ]
    serve.__annotations__ = annotations
    serve.__dict__["__signature__"] = inspect.Signature(parameters)


_declare()
