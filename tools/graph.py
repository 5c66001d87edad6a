"""Print the imports between folders of leveret, and import cycles.

    python tools/graph.py                 # the floors, and the folders inside core and session
    python tools/graph.py store           # the files inside one folder

Includes type-checking imports. Exit status 1 if there are cycles between folders.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "leveret"
ROOMS = ("core", "session")  # folders with subfolders

Graph: TypeAlias = Mapping[str, set[str]]


class Import(NamedTuple):
    """One import. module: the imported module, if it is one of ours; else the import as written."""

    file: PurePosixPath
    line: int
    module: str

    @property
    def folder(self) -> PurePosixPath:
        """The folder of the file."""
        return self.file.parent

    @property
    def target(self) -> PurePosixPath | None:
        """The imported file of ours, or the folder for an __init__.py."""
        first, *rest = self.module.split(".")
        return PurePosixPath(*rest) if first == PACKAGE.name and rest else None

    @property
    def target_folder(self) -> PurePosixPath | None:
        """The folder of the imported file."""
        if self.target is None:
            return None
        return self.target if (PACKAGE / self.target).is_dir() else self.target.parent

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


@cache
def trees() -> dict[PurePosixPath, ast.Module]:
    """All files of the package by path, without the examples that the web UI shows."""
    shown = PACKAGE / "ui"
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE and shown not in path.parents)
    return {PurePosixPath(path.relative_to(PACKAGE).as_posix()): ast.parse(path.read_text()) for path in paths}


def is_module(name: str) -> bool:
    """Whether this is one of our modules or packages."""
    place = ROOT.joinpath(*name.split("."))
    return name.split(".")[0] == PACKAGE.name and (place.is_dir() or place.with_suffix(".py").exists())


def imports() -> Iterator[Import]:
    """All imports, including type-checking imports."""
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                inside = [f"{module}.{alias.name}" for alias in node.names]
                names = [name if is_module(name) else module for name in inside]
            else:
                continue
            for name in dict.fromkeys(names):
                yield Import(file, node.lineno, name)


def folders(inside: str) -> dict[str, set[str]]:
    """The imports between the subfolders of a folder. Deeper files count for the subfolder that contains them.

    inside: "" for the floors. Files directly in the folder are not included.
    """
    within = PurePosixPath(inside)

    def name(place: PurePosixPath | None) -> str | None:
        return place.relative_to(within).parts[0] if place and place != within and within in place.parents else None

    found: dict[str, set[str]] = {}
    for each in imports():
        own, other = name(each.folder), name(each.target_folder)
        if own is not None:
            targets = found.setdefault(own, set())
            if other is not None and other != own:
                targets.add(other)
    return found


def circles(graph: Graph) -> list[list[str]]:
    """All cycles, as groups."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            for target in graph.get(left.pop(), set()) - found:
                found.add(target)
                left.append(target)
        return found

    all_reached = {name: reached(name) for name in graph}
    groups = {
        frozenset(other for other in targets if name in all_reached.get(other, ()))
        for name, targets in all_reached.items()
        if name in targets
    }
    return sorted(sorted(group) for group in groups)


def rooms(inside: str) -> dict[str, set[str]]:
    """The same as folders(), including the files directly in the folder, under its own name."""
    own = PurePosixPath(inside)
    found = folders(inside)
    found[inside] = set()
    for each in imports():
        if each.folder == own and each.target_folder is not None and own in each.target_folder.parents:
            found[inside].add(each.target_folder.relative_to(own).parts[0])
        elif own in each.folder.parents and each.target_folder == own and each.target != own:
            found[each.folder.relative_to(own).parts[0]].add(inside)
    return found


def files(inside: str) -> dict[str, set[str]]:
    """The imports between the files of a folder, at any depth."""
    own = PurePosixPath(inside)
    found: dict[str, set[str]] = {}
    for each in imports():
        if own in each.file.parents:
            targets = found.setdefault(each.file.with_suffix("").as_posix(), set())
            if each.target is not None and own in each.target.parents and not (PACKAGE / each.target).is_dir():
                targets.add(each.target.as_posix())
    return found


def layers(graph: Graph) -> list[list[str]]:
    """Sort from modules without imports up to modules that are not imported; cycles come last."""
    left = {name: {other for other in targets if other in graph} for name, targets in graph.items()}
    found: list[list[str]] = []
    while left:
        lowest = sorted(name for name, targets in left.items() if not targets & left.keys()) or sorted(left)
        found.append(lowest)
        left = {name: targets for name, targets in left.items() if name not in lowest}
    return found


def show(title: str, graph: Graph) -> None:
    """Print a graph, lowest level first."""
    print(f"{title}:")
    for names in layers(graph):
        for name in names:
            print(f"  {name:16} {' '.join(sorted(graph[name])) or '-'}")
    for circle in circles(graph):
        print(f"  circle: {', '.join(circle)}")


def main() -> int:
    """Print the graph. Returns: the exit status."""
    asked = sys.argv[1:]
    for folder in asked:
        show(f"files in leveret/{folder}", files(folder))
    if asked:
        return 0
    graphs = {"leveret": folders(""), **{f"leveret/{room}": rooms(room) for room in ROOMS}}
    for title, graph in graphs.items():
        show(title, graph)
    for room in ROOMS:
        for circle in circles(files(room)):
            print(f"files that know each other: {', '.join(circle)}")
    return int(any(circles(graph) for graph in graphs.values()))


if __name__ == "__main__":
    sys.exit(main())
