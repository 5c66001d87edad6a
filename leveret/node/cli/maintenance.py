"""leveret backup, leveret check: back up and check a data directory, with or without a running broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret.node.cli.output import progress, refuse
from leveret.node.cli.target import DataDir, check_target, find_directory
from leveret.node.printable import complain, say
from leveret.store.chunk_store import StoreError
from leveret.store.rescue.maintenance import backup as copy_directory
from leveret.store.rescue.maintenance import check as check_directory

Target = Annotated[Path, typer.Argument(readable=False, help="Directory for the copy; it must not contain data.")]


def backup(target: Target, data_dir: DataDir = None) -> None:
    """Copy a consistent snapshot of a running or stopped broker's data to another directory."""
    directory = find_directory(data_dir)
    check_target(target)
    try:
        with progress("Copying") as tell:
            size = copy_directory(directory, target, tell)
    except StoreError as error:
        refuse(str(error))
    say(f"Copied '{directory}' to '{target}': {size} bytes.")


def check(data_dir: DataDir = None) -> None:
    """Read all data of a running or stopped broker and report damage; exit status 1 if there is any."""
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
        f"{report.places} queue entries, {report.content_bytes} bytes of bodies."
    )
    if report.is_broken:
        refuse("the database file is damaged; the next start copies readable data to a new file and keeps the old one")
    if report.problems:
        refuse("some data is damaged; the broker skips unreadable data and serves the rest")
    say(f"No damage in '{directory}'.")
