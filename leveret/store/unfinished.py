"""Unfinished: the mark of a store that another one is being copied to, so that nobody takes a part for the whole.

It is a definition, written before everything else and deleted with the last change (store/copying.py).
"""

from __future__ import annotations

from typing import Final

from leveret.store.chunk_store import StoreError

UNFINISHED: Final = "unfinished-copy"  # kind of the mark; its value is the command that copies

Definitions = list[tuple[str, str, bytes]]


def command_of(definitions: Definitions) -> str:
    """The command that has not finished copying to this store; empty if none."""
    for kind, _, value in definitions:
        if kind == UNFINISHED:
            return value.decode("utf-8", "replace")
    return ""


def refuse_unfinished(definitions: Definitions, place: str) -> None:
    """Check that a store is complete. place: as in ChunkStore. Raises: StoreError if it is not."""
    command = command_of(definitions)
    if command:
        raise StoreError(f"{place} contains an incomplete copy: run `{command}` again, which starts it anew")
