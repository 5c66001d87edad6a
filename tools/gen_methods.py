"""Generate leveret/wire/methods/ from spec/methods.toml.

Usage: python tools/gen_methods.py [TARGET_DIRECTORY]

One file per class of the protocol. A test generates them into a temporary directory and compares.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_NAMES = {"global": "global_", "type": "exchange_type"}
PYTHON_TYPES = {
    "u8": ("int", "0"),
    "u16": ("int", "0"),
    "u32": ("int", "0"),
    "u64": ("int", "0"),
    "bit": ("bool", "False"),
    "ss": ("str", '""'),
    "ls": ("bytes", 'b""'),
    "F": ("Table | None", "None"),
}
READS = {"ss": "shortstr", "ls": "longstr", "F": "table"}


@dataclass
class Argument:
    """One argument of a method."""

    name: str
    kind: str

    @property
    def reserved(self) -> bool:
        """Whether it only exists for historical reasons: ignored when read, sent as zero."""
        return self.name == "ticket"


@dataclass
class MethodSpec:
    """One method of spec/methods.toml."""

    class_name: str
    class_id: int
    name: str
    id: int
    arguments: list[Argument]

    @property
    def python_name(self) -> str:
        """BasicConsumeOk for basic.consume-ok."""
        return self.class_name.capitalize() + "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def kept(self) -> list[Argument]:
        """The arguments that become attributes."""
        return [argument for argument in self.arguments if not argument.reserved]


def load(path: Path) -> dict[str, list[MethodSpec]]:
    """The methods of each class, in the order of the file."""
    classes: dict[str, list[MethodSpec]] = {}
    for class_name, content in tomllib.loads(path.read_text()).items():
        for name, (method_id, text) in content["methods"].items():
            pairs = [part.split() for part in text.split(",") if part.strip()]
            arguments = [Argument(PYTHON_NAMES.get(name, name), kind) for name, kind in pairs]
            method = MethodSpec(class_name, content["id"], name, method_id, arguments)
            classes.setdefault(class_name, []).append(method)
    return classes


def _init_lines(method: MethodSpec) -> list[str]:
    parameters = [f"{a.name}: {PYTHON_TYPES[a.kind][0]} = {PYTHON_TYPES[a.kind][1]}" for a in method.kept]
    line = f"    def __init__(self, {', '.join(parameters)}) -> None:"
    if len(line) > 110:
        lines = [
            "    def __init__(",
            "        self,",
            *(f"        {p}," for p in parameters),
            "    ) -> None:",
        ]
    else:
        lines = [line]
    for a in method.kept:
        value = f"{a.name} if {a.name} is not None else {{}}" if a.kind == "F" else a.name
        lines.append(f"        self.{a.name}: Table = {value}" if a.kind == "F" else f"        self.{a.name} = {value}")
    return [*lines, ""]


def _bit_runs(arguments: list[Argument]) -> list[list[Argument]]:
    """The arguments, with consecutive bits grouped."""
    runs: list[list[Argument]] = []
    for argument in arguments:
        if argument.kind == "bit" and runs and runs[-1][-1].kind == "bit":
            runs[-1].append(argument)
        else:
            runs.append([argument])
    return runs


def _read_lines(method: MethodSpec) -> list[str]:
    lines = [
        "    @staticmethod",
        f"    def parse(reader: ArgumentReader) -> {method.python_name}:",
        '        """Read the arguments."""',
    ]
    for run in _bit_runs(method.arguments):
        first = run[0]
        if first.reserved:
            lines.append(f"        reader.{first.kind}()")
        elif first.kind == "bit":
            lines.append("        bits = reader.u8()")
            lines += [f"        {bit.name} = bits & {1 << i} != 0" for i, bit in enumerate(run)]
        else:
            lines.append(f"        {first.name} = reader.{READS.get(first.kind, first.kind)}()")
    call = f"        return {method.python_name}({', '.join(a.name for a in method.kept)})"
    if len(call) > 110:
        lines += [
            f"        return {method.python_name}(",
            *(f"            {a.name}," for a in method.kept),
            "        )",
        ]
    else:
        lines.append(call)
    return [*lines, ""]


def _encode_lines(method: MethodSpec) -> list[str]:
    lines = [
        "    def encode(self, out: BytesWriter) -> None:",
        '        """Write the payload of the method frame."""',
        f"        write_i32_be(out, {method.class_id << 16 | method.id})",
    ]
    writes = {
        "u8": "out.append({})",
        "u16": "write_u16(out, {})",
        "u32": "write_u32(out, {})",
        "u64": "write_i64_be(out, i64({}))",
        "ss": "write_shortstr(out, {})",
        "ls": "write_longstr(out, {})",
        "F": "encode_table(out, {})",
    }
    for run in _bit_runs(method.arguments):
        first = run[0]
        if first.reserved:
            lines.append("        write_i16_be(out, 0)")
        elif first.kind == "bit":
            terms = [f"({1 << i} if self.{bit.name} else 0)" for i, bit in enumerate(run)]
            line = f"        out.append({' | '.join(terms)})"
            if len(line) > 110:
                lines += ["        out.append(", f"            {terms[0]}"]
                lines += [f"            | {term}" for term in terms[1:]]
                lines.append("        )")
            else:
                lines.append(line)
        else:
            lines.append("        " + writes[first.kind].format(f"self.{first.name}"))
    return lines


def _class_lines(method: MethodSpec) -> list[str]:
    slots = "".join(f'"{a.name}", ' for a in method.kept)
    lines = [
        "",
        "",
        f"class {method.python_name}(Method):",
        f'    """{method.class_name}.{method.name} ({method.class_id}, {method.id})."""',
        "",
        f"    __slots__ = ({slots.rstrip(' ') if len(method.kept) == 1 else slots.rstrip(', ')})",
        "",
    ]
    return lines + (_init_lines(method) if method.kept else []) + _read_lines(method) + _encode_lines(method)


def render(class_name: str, methods: list[MethodSpec]) -> str:
    """The file of one class."""
    body = [line for method in methods for line in _class_lines(method)]
    text = "\n".join(body)
    strings = [name for name in ("write_i16_be", "write_i32_be", "write_i64_be") if f"{name}(" in text]
    fields = [n for n in ("Table", "encode_table", "write_longstr", "write_shortstr") if n in text]
    fields += [name for name in ("write_u16", "write_u32") if f"{name}(" in text]
    head = [
        f'"""Class {methods[0].class_id}, {class_name}. Made by tools/gen_methods.py; not for editing."""',
        "",
        "from __future__ import annotations",
        "",
        f"from librt.strings import {', '.join(['BytesWriter', *strings])}",
    ]
    if "i64(" in text:
        head.append("from mypy_extensions import i64")
    head += ["", "from leveret.wire.arguments import ArgumentReader, Method"]
    if fields:
        head.append(f"from leveret.wire.fields import {', '.join(fields)}")
    return "\n".join(head + body) + "\n"


def render_index(classes: dict[str, list[MethodSpec]]) -> str:
    """The package's __init__: all classes, and decode()."""
    lines = ['"""All methods. Made by tools/gen_methods.py from spec/methods.toml; not for editing."""', ""]
    lines += [
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable",
        "from typing import Final",
        "",
    ]
    lines += [
        "from leveret.wire.arguments import ArgumentReader, Method",
        "from leveret.wire.fields import DecodeError",
    ]
    for class_name, methods in sorted(classes.items()):
        names = sorted(method.python_name for method in methods)
        line = f"from leveret.wire.methods.{class_name} import {', '.join(names)}"
        if len(line) > 110:
            lines += [
                f"from leveret.wire.methods.{class_name} import (",
                *(f"    {name}," for name in names),
                ")",
            ]
        else:
            lines.append(line)
    exported = sorted(["decode", "Method", *(m.python_name for methods in classes.values() for m in methods)])
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in exported), "]", ""]
    lines.append("_READERS: Final[dict[int, Callable[[ArgumentReader], Method]]] = {")
    for methods in classes.values():
        lines += [f"    {m.class_id << 16 | m.id}: {m.python_name}.parse,  # {m.class_id}, {m.id}" for m in methods]
    lines += [
        "}",
        "",
        "",
        "def decode(payload: bytes) -> Method | None:",
        '    """Read the payload of a method frame.',
        "",
        "    Returns: the method, or None when no such class or method exists.",
        "    Raises: DecodeError when the arguments are not what the method takes.",
        '    """',
        '    read = _READERS.get(int.from_bytes(payload[:4], "big"))',
        "    if read is None:",
        "        return None",
        "    try:",
        "        reader = ArgumentReader(payload, 4)",
        "        method = read(reader)",
        "    except IndexError:",
        '        raise DecodeError("arguments are cut short") from None',
        "    if not reader.is_at_end():",
        '        raise DecodeError("more than the arguments")',
        "    return method",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every file."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "leveret" / "wire" / "methods"
    target.mkdir(parents=True, exist_ok=True)
    classes = load(ROOT / "spec" / "methods.toml")
    for class_name, methods in classes.items():
        (target / f"{class_name}.py").write_text(render(class_name, methods))
    (target / "__init__.py").write_text(render_index(classes))


if __name__ == "__main__":
    main()
