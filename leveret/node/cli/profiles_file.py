"""Profiles: names for brokers somewhere, in a file of the user's own: ~/.config/leveret/profiles.toml."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from leveret.store.files import replacing


class ProfileError(Exception):
    """Profiles cannot be read or written; the text says why, and what to do."""


@dataclass(frozen=True)
class Profile:
    """url: with the password in it, if it is kept. ca_file: empty for the CAs of the system."""

    url: str
    ca_file: str = ""


def path() -> Path:
    """Where they are."""
    return platformdirs.user_config_path("leveret") / "profiles.toml"


def read() -> dict[str, Profile]:
    """All of them, by name. Raises: ProfileError."""
    place = path()
    try:
        content = tomllib.loads(place.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ProfileError(f"cannot read {place}: {error.strerror}") from None
    except ValueError as error:
        raise ProfileError(f"{place} is not valid TOML: {error}") from None
    found: dict[str, Profile] = {}
    for name, value in content.items():
        url = value.get("url") if isinstance(value, dict) else None
        ca_file = value.get("ca-file", "") if isinstance(value, dict) else ""
        if not isinstance(url, str) or not isinstance(ca_file, str):
            raise ProfileError(f"profile '{name}' in {place} has no url in quotes; correct it, or add it again")
        found[name] = Profile(url, ca_file)
    return found


def find(name: str) -> Profile:
    """One of them. Raises: ProfileError."""
    found = read()
    if name not in found:
        there_are = f"there are {', '.join(sorted(found))}" if found else "there is none"
        raise ProfileError(f"there is no profile '{name}'; {there_are}, and `leveret profiles add` makes one")
    return found[name]


def write(profiles: dict[str, Profile]) -> None:
    """Keep these, and no others; only their owner may read the file. Raises: ProfileError."""
    place = path()
    lines = []
    for name, profile in sorted(profiles.items()):
        lines += [f"[{_quoted(name)}]", f"url = {_quoted(profile.url)}"]
        if profile.ca_file:
            lines.append(f"ca-file = {_quoted(profile.ca_file)}")
        lines.append("")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as file:
            file.write("\n".join(lines).encode())
    except OSError as error:
        raise ProfileError(f"cannot write {place}: {error.strerror}") from None


def _quoted(text: str) -> str:
    """A text as TOML has it; its escapes are those of JSON, but for those of one half of a pair."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
