"""A short siege, and planted faults that it has to find. `make hostile` does much more."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from leveret.core.policy import arguments
from leveret.management.administration import VERBS
from tests.hostile import edges, http_requests, stream, verbs
from tests.hostile.attackers import sample
from tests.hostile.http_attackers import HttpAnswers
from tests.hostile.http_requests import every_kind
from tests.hostile.planting import FAULTS, copy_tree, find
from tests.hostile.scenarios import SCENARIOS
from tests.hostile.siege import Siege

SOME_FAULTS = ("order", "deletion", "secrets", "http-deep")


def test_a_short_siege(tmp_path: Path) -> None:
    siege = Siege(tmp_path, print, is_short=True)
    try:
        siege.begin()
        siege.run(1)
        siege.end()
    finally:
        siege.close()
    assert [str(finding) for finding in siege.findings] == []
    assert siege.counts["requests"] > 100
    assert siege.counts["restarts"] >= 4
    assert siege.counts["scenarios"] == len(SCENARIOS)


def test_every_argument_of_every_method_is_attacked() -> None:
    hits = list(stream.every_argument(random.Random(1)))
    found = {tuple(hit.what.split()[:2]) for hit in hits if " edge " in hit.what}
    wanted = {(str(method), name) for method in stream.METHODS for name, _ in method.arguments}
    assert found == wanted
    assert {hit.what for hit in hits} >= {str(method) for method in stream.METHODS if not method.arguments}


def test_every_kind_of_field_is_among_the_edges() -> None:
    tags = {field[:1] for field in (*edges.fields(), *edges.broken_fields()) if field}
    assert tags == {bytes([octet]) for octet in range(256)}


def test_every_argument_of_queues_and_policies_is_attacked() -> None:
    said = "\n".join(hit.what for hit in stream.every_field(random.Random(1)))
    assert all(f" {name} field" in said for name in arguments.BY_NAME)
    requests = b"\n".join(verbs.every_policy(random.Random(1))).decode()
    assert all(f'"{key}":' in requests for key in arguments.BY_KEY)


def test_every_argument_of_every_verb_is_attacked() -> None:
    requests = b"".join(verbs.every_verb(random.Random(1))).decode()
    for name in VERBS:
        assert re.search(rf'"verb":"{name}"', requests)


def test_every_operation_of_the_api_is_attacked() -> None:
    said = [ask.what for group in http_requests.every_operation(random.Random(1)) for ask in group]
    found = {tuple(what.split()[:3]) for what in said}
    for operation in http_requests.attacked():
        title = (operation.method, operation.path)
        assert (*title, "as") in found
        for name in operation.parameters:
            assert (*title, name) in found
        for name in http_requests.fields(operation):
            assert (*title, f"{name}:") in found
        assert operation.takes is None or (*title, "body") in found
    queried = {match[1] for what in said if (match := re.match(r"[A-Z]+ \S+ ([\w-]+)=", what))}
    assert queried == {name for operation in http_requests.attacked() for name in operation.query}


def test_nobody_else_is_meant_by_attacks_on_the_api() -> None:
    for group in http_requests.every_operation(random.Random(1)):
        for ask in group:
            line = ask.data.partition(b"\r\n")[0]
            assert ask.method == "GET" or not re.search(rb"/(%2F|canary|guest)[/? ]", line, re.IGNORECASE), line


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_answers_of_the_api_are_taken_apart(size: int) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
    sent = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 "
        b"HTTP/1.1 200 OK\r\n" + chunked + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No\r\n\r\n"
        b"HTTP/1.1 503 Busy\r\n"
        b'Content-Length: 13\r\n\r\n{"reason":""}'
        b"HTTP/1.1 500 Oh\r\n" + chunked + b"nonsense\r\n\r\n"
    )
    told: list[str] = []
    answers = HttpAnswers(lambda kind, text: told.append(kind), ["GET", "GET", "HEAD", "PUT", "GET", "GET", "GET"])
    for at in range(0, len(sent), size):
        answers.feed(sent[at : at + size])
    assert answers.statuses == [200, 200, 200, 204, 503, 500]
    assert answers.opened == 6
    assert told == ["no reason", "internal error", "framing"]


def test_the_same_seed_makes_the_same_bytes() -> None:
    def some(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        stories = stream.stories(chance)
        hits = [*(next(stories) for _ in range(20)), *sample([stream.every_property(chance)], 0.01, chance)]
        asks = [
            *sample(http_requests.every_operation(chance), 0.001, chance),
            *sample(every_kind(chance), 0.01, chance),
        ]
        lines = [*sample([verbs.every_verb(chance)], 0.01, chance), *(ask.data for ask in asks)]
        return [hit.bytes_on(1) for hit in hits] + lines

    assert some(3) == some(3)
    assert some(3) != some(4)


@pytest.mark.parametrize("name", list(FAULTS))
def test_faults_can_be_planted(name: str, tmp_path: Path) -> None:
    copy_tree(tmp_path)
    FAULTS[name].plant(tmp_path)
    assert set(FAULTS[name].scenarios) <= set(SCENARIOS)


@pytest.mark.parametrize("name", SOME_FAULTS)
def test_planted_faults_are_found(name: str) -> None:
    is_found, line = find(FAULTS[name])
    assert is_found, line
