"""What docs/architecture.md names is there: files, classes and their methods."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tools.graph import PACKAGE, ROOT, trees

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PLACES = (PACKAGE, ROOT, *(path for path in PACKAGE.rglob("*") if path.is_dir()))


def members() -> dict[str, set[str]]:
    """What each class of the package has: methods and attributes, those of its bases too where they are ours."""
    own: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found = own.setdefault(node.name, set())
                bases.setdefault(node.name, []).extend(each.id for each in node.bases if isinstance(each, ast.Name))
                for each in ast.walk(node):
                    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                        found.add(each.name)
                    elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
                        found.add(each.attr)
                    elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                        found.add(each.target.id)

    def everything(name: str) -> set[str]:
        return own.get(name, set()).union(*(everything(base) for base in bases.get(name, ())))

    return {name: everything(name) for name in own}


def is_there(path: str) -> bool:
    """Whether a file or folder is somewhere in the package, or in the repository."""
    return any((place / path).exists() for place in PLACES)


def test_files_are_there() -> None:
    named = re.findall(r"`([\w./-]+(?:\.(?:py|toml|md)|/))`", PAGE) + re.findall(
        r"`(core/\w+|session/\w+|leveret/\w+)`", PAGE
    )
    assert len(named) > 100
    assert [path for path in named if not is_there(path)] == []


def test_files_that_the_source_names_are_there() -> None:
    sources = [path for path in sorted(PACKAGE.rglob("*.py")) if "methods" not in path.parts]
    named = [
        (path, name) for path in sources for name in re.findall(r"(?<![\w/.*-])((?:\w+/)*\w+\.py)\b", path.read_text())
    ]
    assert len(named) > 30
    assert [f"{path.relative_to(PACKAGE)}: {name}" for path, name in named if not is_there(name)] == []


def test_methods_are_there() -> None:
    classes = members()
    named = [(name, member) for name, member in re.findall(r"`([A-Z]\w+)\.(\w+)", PAGE) if name in classes]
    assert len(named) > 60
    assert [f"{name}.{member}" for name, member in named if member not in classes[name]] == []


def test_the_table_of_rooms_is_complete() -> None:
    rooms = sorted(
        Path("leveret", "core", path.name) for path in (PACKAGE / "core").iterdir() if (path / "__init__.py").exists()
    )
    assert [str(room) for room in rooms if f"| `core/{room.name}` |" not in PAGE] == []
