"""How a password comes to a command: as an argument, from standard input, or at a prompt; and leaves it hashed."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

Password = Annotated[str | None, typer.Argument(help="The password; without it, it is asked for.")]
FromInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Hash = Annotated[str | None, typer.Option("--password-hash", help="A hash instead of a password, as in definitions.")]


class Hashing(StrEnum):
    """How a password is kept. rabbitmq: as RabbitMQ does, so that an export takes it there."""

    ARGON2 = "argon2"
    RABBITMQ = "rabbitmq"


Kept = Annotated[Hashing, typer.Option("--hashing", help="How the password is kept; RabbitMQ cannot read argon2.")]


def credential(
    password: str | None, from_input: bool, password_hash: str | None, hashing: Hashing
) -> dict[str, object]:
    """The arguments of a verb that say the password; only a hash of it leaves this process."""
    if sum((password is not None, from_input, password_hash is not None)) > 1:
        raise typer.BadParameter("give the password once: as an argument, with --password-stdin or --password-hash")
    if password_hash is not None:
        return {"password_hash": password_hash}
    if from_input:
        try:
            password = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise typer.BadParameter("the password on standard input is not UTF-8") from None
    elif password is None:
        if not sys.stdin.isatty():
            raise typer.BadParameter("no password: give it as an argument or with --password-stdin")
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise typer.BadParameter("the password is empty; nobody could log in with it")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("the password is not UTF-8; no client could say it") from None
    from leveret.auth import passwords

    made = passwords.argon2(password) if hashing is Hashing.ARGON2 else passwords.salted(password)
    return {"password_hash": made.hash, "hashing_algorithm": made.algorithm}
