"""Requests for the control socket: each argument of each verb with values of every kind, policies, definitions.

Names are those of attackers, so that whoever stands beside is not meant: `guest`, `/` and the canaries' virtual host
are never deleted or changed on purpose.
"""

from __future__ import annotations

import inspect
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from leveret.core.access.user import USER_LIMITS, VHOST_LIMITS
from leveret.core.policy import arguments
from leveret.management.administration import FUNCTIONS
from leveret.management.definitions import SECTIONS
from tests.hostile import edges
from tests.hostile.attackers import GIVEN_UP_S, PATIENCE_S, Tell
from tests.hostile.stream import EXCHANGE_NAMES, QUEUE_NAMES, TYPES

VHOST: Final = "prey"
"""The virtual host of attackers; whatever is in it may go."""

DOOMED: Final = ("h.v1", "h.v2")  # virtual hosts that come and go
USERS: Final = ("h.u1", "h.u2")
LIVING: Final = {"delete_vhost", "add_vhost", "set_vhost", "set_vhost_limits", "clear_vhost_limits", "protect_vhost"}
PATTERN: Final = "^h[.]"
FAILED: Final = "failed inside the broker"
LIMITS: Final = (*VHOST_LIMITS, *USER_LIMITS, "unknown")


def likely(verb: str, name: str, chance: random.Random) -> Any:
    """A value that makes sense for an argument of a verb."""
    doomed = verb in LIVING
    values: dict[str, tuple[Any, ...]] = {
        "vhost": DOOMED if doomed else (VHOST, DOOMED[0]),
        "name": DOOMED
        if verb.endswith("_vhost")
        else USERS
        if "user" in verb or "password" in verb
        else ("h.n1", "h.n2"),
        "user": USERS,
        "queue": QUEUE_NAMES,
        "exchange": (*EXCHANGE_NAMES, "amq.topic"),
        "pattern": (PATTERN,),
        "definition": ({"max-length": 5}, {"message-ttl": 100}, {"dead-letter-exchange": "h.fanout"}),
        "priority": (0, 5),
        "apply_to": ("all", "queues", "exchanges"),
        "configure": (".*", PATTERN),
        "write": (".*", ""),
        "read": (".*", ""),
        "limits": ({"max-queues": 100},),
        "limit": ("max-queues",),
        "tags": ("", "management", ["a", "b"]),
        "password": ("secret",),
        "component": ("h.shovel",),
        "value": ({"a": 1},),
        "on": (True, False),
        "seconds": (1, 60),
        "content": ({"queues": []},),
        "description": ("", "x"),
        "default_queue_type": ("", "classic", "quorum"),
    }
    return chance.choice(values.get(name, (None,)))


def _names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)[1:]


def _required(function: Any) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [each.name for each in parameters if each.default is each.empty]


def line(verb: str, given: dict[str, str]) -> bytes:
    """A request. given: arguments, as JSON texts."""
    body = ",".join(f"{json.dumps(name)}:{value}" for name, value in given.items())
    return f'{{"verb":{json.dumps(verb)},"arguments":{{{body}}}}}\n'.encode()


def every_verb(chance: random.Random) -> Iterator[bytes]:
    """Every argument of every verb with each kind of value, among likely ones."""
    values = edges.json_values()
    for function in FUNCTIONS:
        verb = function.__name__
        names = _names(function)
        for name in names:
            for value in values:
                given = {each: json.dumps(likely(verb, each, chance)) for each in _required(function)}
                yield line(verb, {**given, name: value})
        for missing in names:
            yield line(verb, {name: json.dumps(likely(verb, name, chance)) for name in names if name != missing})
        yield line(verb, {"unknown": "1"})


def every_policy(chance: random.Random) -> Iterator[bytes]:
    """Every key of a policy with each kind of value; first those that no other request has asked for."""
    for verb in ("set_policy", "set_operator_policy"):
        for key in arguments.BY_KEY:
            for value in edges.json_values():
                yield _policy(verb, key, value, chance)
        clear = verb.replace("set", "clear")
        yield line(clear, {"vhost": json.dumps(VHOST), "name": '"h.n1"'})


def _policy(verb: str, key: str, value: str, chance: random.Random) -> bytes:
    definition = f"{{{json.dumps(key)}:{value}}}"
    if key == "dead-letter-routing-key" and chance.random() < 0.5:
        definition = f'{{"dead-letter-exchange":"h.topic",{json.dumps(key)}:{value}}}'
    given = {"vhost": VHOST, "name": chance.choice(("h.n1", "h.n2")), "pattern": chance.choice((PATTERN, ".*", ""))}
    given["apply_to"] = chance.choice(("all", "queues", "exchanges", "classic_queues", "quorum_queues"))
    return line(verb, {**{name: json.dumps(each) for name, each in given.items()}, "definition": definition})


def every_limit(chance: random.Random) -> Iterator[bytes]:
    """Every limit with each kind of value."""
    for owner, name in (("vhost", DOOMED[0]), ("user", USERS[0])):
        for limit in LIMITS:
            for value in edges.json_values():
                limits = f"{{{json.dumps(limit)}:{value}}}"
                yield line(f"set_{owner}_limits", {owner: json.dumps(name), "limits": limits})
        yield line(f"clear_{owner}_limits", {owner: json.dumps(name)})


ENTRIES: Final[dict[str, dict[str, Any]]] = {
    "users": {"name": USERS[0], "password_hash": "", "tags": "", "limits": {}},
    "vhosts": {"name": DOOMED[0], "limits": {}, "metadata": {"description": "", "tags": [], "default_queue_type": ""}},
    "permissions": {"user": USERS[0], "vhost": DOOMED[0], "configure": "", "write": "", "read": ""},
    "topic_permissions": {"user": USERS[0], "vhost": DOOMED[0], "exchange": "amq.topic", "write": "", "read": ""},
    "parameters": {"vhost": DOOMED[0], "component": "h.c", "name": "h.p", "value": {}},
    "global_parameters": {"name": "h.g", "value": 1},
    "policies": {
        "vhost": DOOMED[0],
        "name": "h.n1",
        "pattern": PATTERN,
        "apply-to": "all",
        "priority": 0,
        "definition": {"max-length": 1},
    },
    "queues": {"name": "h.plain", "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": {}},
    "exchanges": {
        "name": "h.direct",
        "vhost": VHOST,
        "type": "direct",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    },
    "bindings": {
        "source": "h.direct",
        "vhost": VHOST,
        "destination": "h.plain",
        "destination_type": "queue",
        "routing_key": "",
        "arguments": {},
    },
}


def definitions_files() -> Iterator[str]:
    """Definitions files: every field of every kind of entry with each kind of value."""
    values = edges.json_values()
    for section, entry in ENTRIES.items():
        for name in (*entry, "unknown"):
            for value in values:
                texts = {**{each: json.dumps(said) for each, said in entry.items()}, name: value}
                body = ",".join(f"{json.dumps(each)}:{text}" for each, text in texts.items())
                yield f'{{"{section}":[{{{body}}}]}}'
        for value in values:
            yield f'{{"{section}":{value}}}'
    for name in arguments.BY_NAME:
        for value in values:
            said = f'"durable":true,"auto_delete":false,"arguments":{{"{name}":{value}}}'
            yield f'{{"queues":[{{"name":"h.field1","vhost":"{VHOST}",{said}}}]}}'
    for type_ in TYPES:
        for name in ("x-delayed-type", "x-cache-size", "hash-header", "alternate-exchange"):
            for value in values:
                exchange = f'{{"name":"h.field2","vhost":"{VHOST}","type":"{type_}","arguments":{{"{name}":{value}}}}}'
                yield f'{{"exchanges":[{exchange}]}}'
    assert set(ENTRIES) == set(SECTIONS)


def every_definition(chance: random.Random) -> Iterator[bytes]:
    """Imports of all of them."""
    for content in definitions_files():
        yield line("import_definitions", {"content": content, "atomic": chance.choice(("true", "false", "false"))})


def every_nonsense(chance: random.Random) -> Iterator[bytes]:
    """Lines that are no requests."""
    yield from (
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"\xff\xfe\n",
        b'{"verb":1}\n',
        b'{"verb":"list_users","arguments":1}\n',
    )
    for value in edges.json_values():
        yield f"{value}\n".encode()
        yield f'{{"verb":{value}}}\n'.encode()
        yield f'{{"verb":"list_users","arguments":{value}}}\n'.encode()
    yield b'{"verb":"list_users","verb":"show_status","arguments":{},"arguments":{}}\n'
    for size in ("true", "1.5", '"1"', "null"):
        yield f'{{"verb":"show_status","bytes":{size}}}\n'.encode()
    for count in (1, 3, 1000):
        for verb in ("import_messages", "export_messages", "show_status"):
            vhost = f'{{"vhost":"{VHOST}","queue":"h.plain"}}'
            yield f'{{"verb":"{verb}","bytes":{count},"arguments":{vhost}}}\n'.encode() + chance.randbytes(count)
    for _ in range(20):
        yield chance.randbytes(chance.randrange(100)).replace(b"\n", b"") + b"\n"


class Administrator:
    """Sends requests to a control socket, and looks at the answers. patience_s: as that of an Attacker."""

    def __init__(self, path: Path, tell: Tell, patience_s: float | None = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self.counts: Counter[str] = Counter()
        self._path = path
        self._tell = tell
        self._socket: socket.socket | None = None
        self._answers: Any = None

    def ask(self, requests: Iterator[bytes]) -> None:
        """Send requests, one after the other. The broker may go away meanwhile."""
        try:
            for request in requests:
                self._ask(request)
        except (ConnectionError, FileNotFoundError):
            return
        finally:
            self.close()

    def _ask(self, request: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(self._patience_s or GIVEN_UP_S)
            self._socket.connect(str(self._path))
            self._answers = self._socket.makefile("rb")
        try:
            self._socket.sendall(request)
            answer = self._answers.readline()
        except TimeoutError:
            if self._patience_s is not None:
                self._tell("silence", f"the control socket does not answer to {request[:300]!r}")
            self.close()
            return
        self.counts["requests"] += 1
        if not answer:
            raise ConnectionResetError("gone")
        try:
            content = json.loads(answer)
        except ValueError:
            self._tell("framing", f"the control socket answers {answer[:200]!r} to {request[:300]!r}")
            self.close()
            return
        result = content.get("result")
        if isinstance(content.get("bytes"), int):
            self._answers.read(content["bytes"])
        error = content.get("error", "")
        self.counts["refused"] += bool(error)
        said = json.dumps(result) if isinstance(result, dict) and "errors" in result else str(error)
        if FAILED in said:
            self._tell("internal error", f"{said[:200]}; for {request[:300]!r}")
        if not error.startswith("a request") or b"\n" not in request[:-1]:
            return
        self.close()  # nobody knows where the next request begins

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._answers.close()
            self._socket.close()
            self._socket = None
