"""The versions of RabbitMQ that Leveret says it is: all of them in one place, and as the documentation has them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from leveret.session.connection.handshake import server_properties
from leveret.wire.versions import AMQP_VERSION
from tools.graph import ROOT, trees

VERSION = re.compile(r"\d+\.\d+\.\d+")
ELSEWHERE = {"management/targets.py", "api/openapi.py"}  # of brokers that definitions are exported for, of OpenAPI


def test_no_other_file_has_a_version() -> None:
    found = {
        file.as_posix()
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VERSION.fullmatch(node.value)
    }
    assert found == ELSEWHERE | {"wire/versions.py"}


def test_amqp_clients_see_theirs() -> None:
    assert server_properties("node", "1.2.3")["version"].value == AMQP_VERSION.encode()


def test_the_documentation_names_it() -> None:
    assert f"version `{AMQP_VERSION}`" in Path(ROOT, "docs", "compatibility.md").read_text(encoding="utf-8")
