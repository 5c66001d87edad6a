"""Writes the text format of Prometheus, version 0.0.4, as far as Leveret needs it.

The writer of prometheus_client needs a registry with all samples at once; this one writes samples as they are read.
Source: https://prometheus.io/docs/instrumenting/exposition_formats
"""

from __future__ import annotations

CONTENT_TYPE = "text/plain; version=0.0.4"


def escaped(value: str) -> str:
    """An escaped label value. In names that are not UTF-8, \\udc80 to \\udcff stand for the invalid bytes."""
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels(**given: str) -> str:
    """Labels in braces."""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in given.items()) + "}"


def head(name: str, kind: str, text: str) -> str:
    """The TYPE and HELP lines of a metric."""
    return f"# TYPE {name} {kind}\n# HELP {name} {text}\n"


def line(name: str, tail: str, value: float) -> str:
    """The line of one sample. tail: an optional suffix of the name, and optional labels in braces."""
    return f"{name}{tail} {value}\n"
