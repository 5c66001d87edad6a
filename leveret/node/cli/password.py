"""Read a password from an argument, standard input or a prompt, and hash it."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

Password = Annotated[str | None, typer.Argument(help="The password. Omit to be prompted.")]
FromInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Hash = Annotated[
    str | None,
    typer.Option("--password-hash", help="A password hash in the format of definitions files, instead of a password."),
]


class Hashing(StrEnum):
    """How to store a password. rabbitmq: a hash that RabbitMQ can import."""

    ARGON2 = "argon2"
    RABBITMQ = "rabbitmq"


Kept = Annotated[
    Hashing, typer.Option("--hashing", help="Hash algorithm for storing the password; RabbitMQ cannot read argon2.")
]


def credential(
    password: str | None, from_input: bool, password_hash: str | None, hashing: Hashing
) -> dict[str, object]:
    """The verb arguments for the password, as a hash: the password itself never leaves this process."""
    if sum((password is not None, from_input, password_hash is not None)) > 1:
        raise typer.BadParameter("give only one of: the password as an argument, --password-stdin, --password-hash")
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
        raise typer.BadParameter("the password is empty, and would not allow a login")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("the password is not UTF-8, so no client could send it") from None
    from leveret.auth import passwords

    made = passwords.argon2(password) if hashing is Hashing.ARGON2 else passwords.salted(password)
    return {"password_hash": made.hash, "hashing_algorithm": made.algorithm}
