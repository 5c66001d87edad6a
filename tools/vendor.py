"""Download the third-party files of the web UI from npm packages, as listed in leveret/ui/vendor/vendor.toml.

    python tools/vendor.py            # download all, and write missing or different files
    python tools/vendor.py --check    # report files that differ from npm

To update, change the version in vendor.toml; the hash is of the file in the package.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tarfile
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "leveret" / "ui" / "vendor"
REGISTRY = "https://registry.npmjs.org"


def fetch(package: str, version: str) -> dict[str, bytes]:
    """The files of a package, by path."""
    base = package.rpartition("/")[2]
    with urllib.request.urlopen(f"{REGISTRY}/{package}/-/{base}-{version}.tgz", timeout=60) as answer:
        packed = io.BytesIO(answer.read())
    with tarfile.open(fileobj=packed) as archive:
        members = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive.getmembers()]
        return {name: content.read() for name, content in members if content is not None}


def look(wanted: dict[str, Any], files: dict[str, bytes], is_check: bool) -> str:
    """Write one file, unless it is up to date. Returns: the problem, or empty."""
    content = files[wanted["path"]]
    if hashlib.sha256(content).hexdigest() != wanted["sha256"]:
        return f"{wanted['name']}: the file in {wanted['package']} {wanted['version']} does not match vendor.toml"
    where = FOLDER / wanted["name"]
    if where.is_file() and where.read_bytes() == content:
        return ""
    if is_check:
        return f"{wanted['name']} differs from {wanted['package']} {wanted['version']}"
    where.write_bytes(content)
    print(f"{wanted['name']} written")
    return ""


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    packages: dict[tuple[str, str], dict[str, bytes]] = {}
    wrong = []
    for wanted in tomllib.loads((FOLDER / "vendor.toml").read_text())["file"]:
        package = wanted["package"], wanted["version"]
        if package not in packages:
            packages[package] = fetch(*package)
        wrong.append(look(wanted, packages[package], options.check))
    sys.exit("\n".join(filter(None, wrong)) or None)


if __name__ == "__main__":
    main()
