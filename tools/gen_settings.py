"""Write docs/settings.md from the settings declared in leveret/node/config.py.

Usage: python tools/gen_settings.py [TARGET_FILE]

A test generates the page into a temporary directory and compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from leveret.node.config import CONFIG_FILE, GROUPS, OPTIONS, Declared  # noqa: E402
from leveret.node.kinds import Switch  # noqa: E402

EXAMPLES = {
    "control": "/run/leveret/control.sock",
    "management-port": 15672,
    "management-host": "127.0.0.1",
    "management-prefix": "/leveret",
    "metrics-port": 15692,
    "otlp-endpoint": "http://localhost:4318",
    "otlp-ratio": 0.1,
    "tls-port": 5671,
    "tls-certificate": "/etc/leveret/cert.pem",
    "tls-key": "/etc/leveret/key.pem",
    "tls-ca": "/etc/leveret/ca.pem",
    "definitions": "/etc/leveret/definitions.json",
    "record": "recording.jsonl",
    "cluster": "postgresql://leveret@db1,db2/leveret",
    "cluster-password-file": "/etc/leveret/password",
    "node": "node1",
}
"""An example value for each setting without a default value."""

INTRODUCTION = """\
# Settings

All settings of `leveret serve`. [configuration.md](configuration.md) describes how to set them and their precedence.
"""


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "settings.md"
    target.write_text("\n".join(page()), encoding="utf-8")


def page() -> Iterator[str]:
    """The lines of the page."""
    yield INTRODUCTION
    yield from overview()
    for group in GROUPS:
        yield f"## {group}\n"
        for declared in OPTIONS.values():
            if declared.setting.group == group:
                yield from section(declared)


def overview() -> Iterator[str]:
    """A table of all settings."""
    yield "| Group | Settings |"
    yield "|---|---|"
    for group in GROUPS:
        names = [declared.name for declared in OPTIONS.values() if declared.setting.group == group]
        yield f"| {group} | {', '.join(f'[`{name}`](#{name})' for name in names)} |"
    yield ""


def section(declared: Declared) -> Iterator[str]:
    """The section for one setting."""
    setting, kind = declared.setting, declared.setting.kind
    yield f"### {declared.name}\n"
    yield f"{setting.help}{f' [More]({setting.see})' if setting.see else ''}\n"
    metavar = f" {kind.metavar}" if kind.metavar else ""
    places = [f"option `{declared.option}{metavar}`", f"variable `{declared.variable}`"]
    if declared is not CONFIG_FILE:
        places.append(f"in the file `{declared.name} = {example(declared)}`")
    yield f"* {', '.join(places)}"
    if isinstance(kind, Switch):
        yield f"* values as a variable: {kind.allowed(False)}"
    else:
        yield f"* value: {kind.allowed(False)}"
    yield f"* default: {setting.default or f'`{declared.default_words}`'}\n"


def example(declared: Declared) -> str:
    """An example value for a file: the default, unless it is empty."""
    kind, default = declared.setting.kind, declared.default
    if isinstance(kind, Switch):
        return "true"
    value = default if default not in (None, "") else kind.check(EXAMPLES[declared.name])
    return kind.show_toml(value)


main()
