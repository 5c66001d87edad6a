"""The file of profiles, ~/.config/leveret/profiles.toml: names for the URLs of brokers."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from leveret.store.files import replacing


class ProfileError(Exception):
    """Profiles cannot be read or written. The text says why, and what to do."""


@dataclass(frozen=True)
class Profile:
    """A profile. url: contains the password if it is stored. ca_file: empty for the CAs of the system."""

    url: str
    ca_file: str = ""


def path() -> Path:
    """The path of the file."""
    return platformdirs.user_config_path("leveret") / "profiles.toml"


def read() -> dict[str, Profile]:
    """All profiles by name. Raises: ProfileError."""
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
            raise ProfileError(f"profile '{name}' in {place} has no url in quotes; correct it or add the profile again")
        found[name] = Profile(url, ca_file)
    return found


def find(name: str) -> Profile:
    """One profile. Raises: ProfileError."""
    found = read()
    if name not in found:
        there_are = f"known profiles: {', '.join(sorted(found))}" if found else "there are none"
        raise ProfileError(f"there is no profile '{name}'; {there_are}; add one with `leveret profiles add`")
    return found[name]


def write(profiles: dict[str, Profile]) -> None:
    """Replace all profiles. Only the owner may read the file. Raises: ProfileError."""
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
    """A TOML string. Its escapes are those of JSON, except for lone surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
