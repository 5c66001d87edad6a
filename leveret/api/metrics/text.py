"""The text format of Prometheus, version 0.0.4, as far as it is written here.

prometheus_client has a writer too, but for a registry that holds all samples at once; these are written as they are
read. Source: https://prometheus.io/docs/instrumenting/exposition_formats
"""

from __future__ import annotations

CONTENT_TYPE = "text/plain; version=0.0.4"


def escaped(value: str) -> str:
    """A value of a label. Of a name that is no UTF-8, the bytes that are not are written as \\udc80 to \\udcff."""
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels(**given: str) -> str:
    """Labels in braces."""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in given.items()) + "}"


def head(name: str, kind: str, text: str) -> str:
    """What comes before the samples of a metric."""
    return f"# TYPE {name} {kind}\n# HELP {name} {text}\n"


def line(name: str, tail: str, value: float) -> str:
    """One sample. tail: labels in braces, perhaps behind a suffix of the name; or nothing."""
    return f"{name}{tail} {value}\n"
