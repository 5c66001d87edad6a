"""The description that the API gives of itself is a valid one, and says what the router does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate

import leveret
from leveret.api import operations
from leveret.api.operation import PARAMETER
from leveret.api.operations import OPERATIONS
from tests.api.http import Http

ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture
def described(managed: leveret.Broker) -> Any:
    return Http(managed.management_url, "").ask("GET", "openapi.json").expect(200).json


def test_it_is_valid(described: Any) -> None:
    validate(described)
    assert described["openapi"].startswith("3.1")
    assert described["servers"] == [{"url": "/api"}]


def test_it_has_what_the_router_has(described: Any) -> None:
    told = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    assert told == {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(OPERATIONS) == len(told)


def test_each_operation_has_a_name_and_a_sentence(described: Any) -> None:
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    summaries = [operation["summary"] for operation in operations]
    assert [text for text in summaries if not re.fullmatch(r"[A-Z][^.]+(\.[^. ][^.]*)*\.", text)] == []


def test_parameters_of_paths_are_told(described: Any) -> None:
    for path, item in described["paths"].items():
        for operation in item.values():
            told = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert told == re.findall(r"\{(\w+)\}", path)


def test_the_router_knows_each_path(managed: leveret.Broker, described: Any) -> None:
    nobody = Http(managed.management_url, "")
    for path, item in described["paths"].items():
        where = re.sub(r"\{\w+\}", "x", path).lstrip("/")
        allowed = set(nobody.ask("OPTIONS", where).expect(200).headers["allow"].split(", "))
        assert allowed - {"HEAD", "OPTIONS"} >= {method.upper() for method in item}, path
        assert nobody.ask("BREW", where).status == 405


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("GET", "leveret/refused", "?vhost=nothing", None, 404),
        ("POST", "leveret/verbs/delete_user", "", {"name": "nobody"}, 404),
        ("POST", "leveret/verbs/delete_vhost", "", {"name": "nothing"}, 404),
        ("POST", "leveret/verbs/delete_vhost", "", {"name": "kept"}, 412),
        ("POST", "leveret/verbs/set_permissions", "", {"user": "guest", "vhost": "nothing", **ALL}, 404),
    ],
)
def test_what_is_refused_by_its_name_is_told(
    http: Http, described: Any, method: str, path: str, query: str, body: object, status: int
) -> None:
    http.ask("PUT", "vhosts/kept", {"protected_from_deletion": True}).expect(201)
    http.ask(method, path + query, body).expect(status)
    assert str(status) in described["paths"][f"/{path}"][method.lower()]["responses"]


def test_both_ways_to_log_in_are_told() -> None:
    with leveret.Broker(management=True) as broker:
        found: Any = Http(broker.management_url, "").ask("GET", "openapi.json").json
        assert found["security"] == [{"basic": []}, {"session": []}]


def test_it_is_made_once() -> None:
    with leveret.Broker(management=True) as broker:
        nobody = Http(broker.management_url, "")
        first = nobody.ask("GET", "openapi.json").expect(200).body
        made = operations._description.cache_info().misses
        assert [nobody.ask("GET", "openapi.json").body for _ in range(3)] == [first] * 3
        assert operations._description.cache_info().misses == made


def test_no_two_operations_are_asked_in_the_same_way() -> None:
    asked = [(operation.method, PARAMETER.sub("{}", operation.path)) for operation in OPERATIONS]
    assert len(asked) == len(set(asked))
