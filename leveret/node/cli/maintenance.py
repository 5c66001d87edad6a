"""leveret backup, leveret check: care for a data directory, whether a broker runs on it or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret.node.cli.output import progress, refuse
from leveret.node.cli.target import DataDir, check_target, find_directory
from leveret.node.printable import complain, say
from leveret.store.database import StoreError
from leveret.store.rescue.maintenance import backup as copy_directory
from leveret.store.rescue.maintenance import check as check_directory

Target = Annotated[Path, typer.Argument(readable=False, help="Directory for the copy; there must be no data in it.")]


def backup(target: Target, data_dir: DataDir = None) -> None:
    """Copy the data of a running or stopped broker, as it is at one moment, to another directory."""
    directory = find_directory(data_dir)
    check_target(target)
    try:
        with progress("Copying") as tell:
            size = copy_directory(directory, target, tell)
    except StoreError as error:
        refuse(str(error))
    say(f"Copied '{directory}' to '{target}': {size} bytes.")


def check(data_dir: DataDir = None) -> None:
    """Read all data of a running or stopped broker, and say what is damaged; status 1 if anything is."""
    directory = find_directory(data_dir)
    try:
        with progress("Reading") as tell:
            report = check_directory(directory, tell)
    except StoreError as error:
        refuse(str(error))
    for problem in report.problems:
        complain(str(directory), problem)
    say(
        f"{report.definitions} definitions, {report.messages} messages in {report.chunks} chunks, "
        f"{report.places} places in queues, {report.content_bytes} bytes of bodies."
    )
    if report.is_broken:
        refuse("the file is damaged; the next start makes a new one of what can be read, and keeps this one beside it")
    if report.problems:
        refuse("there is damage; the broker leaves out what cannot be read and serves the rest")
    say(f"No damage in '{directory}'.")
