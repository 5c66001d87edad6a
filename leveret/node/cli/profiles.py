"""leveret profiles: names for the URLs of brokers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from leveret.node.cli import profiles_file
from leveret.node.cli.arguments import examples
from leveret.node.cli.asking import with_password
from leveret.node.cli.output import AsJson, refuse, show
from leveret.node.cli.profiles_file import Profile, ProfileError
from leveret.node.cli.remote import Place, RemoteBroker, Unreachable, read_url
from leveret.node.printable import say

app = typer.Typer(help="Manage profiles: names for the URLs of brokers.", no_args_is_help=True)

ProfileName = Annotated[str, typer.Argument(help="Name of the profile.")]


@app.command(
    epilog=examples(
        "profiles add shop http://ops:secret@10.0.0.1:15672",
        "profiles add shop https://ops@mq.example:15671 --ca-file ca.pem",
    )
)
def add(
    name: ProfileName,
    url: Annotated[str, typer.Argument(help="http://USER:PASSWORD@HOST:15672. Prompts for a missing password.")],
    ca_file: Annotated[str | None, typer.Option(help="File of trusted CAs, for https://.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Do not store the password; prompt for it each time.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not test the login.")] = False,
) -> None:
    """Store a URL under a name, in a file that only you may read. Tests the login first."""
    try:
        place = read_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from None
    kept = "" if ca_file is None else str(Path(ca_file).absolute())
    if place.password is None and not (ask and no_check):
        place = with_password(place)
    if not no_check:
        _try(place, kept)
    if ask:
        place = replace(place, password=None)
    try:
        profiles_file.write({**profiles_file.read(), name: Profile(place.url, kept)})
    except ProfileError as error:
        refuse(str(error))
    say(f"Added profile '{name}': {place.shown} as user '{place.user}'.")


def _try(place: Place, ca_file: str) -> None:
    def fail(text: str) -> NoReturn:
        refuse(f"{text}; --no-check stores it anyway")

    try:
        broker = RemoteBroker(place, ca_file)
        status = broker.ask("GET", "/whoami").status
        broker.close()
    except Unreachable as error:
        fail(str(error))
    if status == 401:
        fail(f"{place.shown} refused the login of user '{place.user}'")


@app.command("list", epilog=examples("profiles list", "profiles list --json"))
def list_profiles(as_json: AsJson = False) -> None:
    """List profiles, without passwords."""
    rows: list[dict[str, object]] = []
    try:
        for name, profile in sorted(profiles_file.read().items()):
            place = read_url(profile.url)
            keeps = place.password is not None
            rows.append(
                {"name": name, "url": place.shown, "user": place.user, "password": keeps, "ca_file": profile.ca_file}
            )
    except (ProfileError, ValueError) as error:
        refuse(str(error))
    show(rows, ["name", "url", "user", "password", "ca_file"], as_json)


@app.command(epilog=examples("profiles remove shop"))
def remove(name: ProfileName) -> None:
    """Remove a profile."""
    try:
        profiles_file.find(name)
        profiles_file.write({each: profile for each, profile in profiles_file.read().items() if each != name})
    except ProfileError as error:
        refuse(str(error))
    say(f"Removed profile '{name}'.")
