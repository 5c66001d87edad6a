"""Fit an export to another broker: remove what that broker does not support, and note each difference.

leveret/management/targets.py defines what the other broker supports; this module checks each entry against it. Entries
that depend on a removed entry are removed too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from leveret.auth.passwords import SHA256
from leveret.core.access.user import MAX_QUEUES
from leveret.management.entries import CHANGED
from leveret.management.parameters import OPERATOR_POLICY, VHOST_LIMITS
from leveret.management.targets import Target
from leveret.management.texts import BadText, check

AT_ONCE = 100  # entries
FOR_CLASSIC = frozenset(("all", "queues", "classic_queues"))  # apply-to of a policy
SHOWN = 40  # characters of a routing key

Entry = dict[str, Any]


class LeftOut(Exception):
    """The other broker does not support an entry. The text says why."""


class Fitting:
    """Fits one export to another broker. notes: subject and reason of each difference."""

    def __init__(self, content: dict[str, object], target: Target) -> None:
        self.notes: list[dict[str, str]] = []
        self._content = content
        self._target = target
        self._own = content.get("original_vhost_name")  # virtual host of entries without one
        self._gone: set[tuple[str, object, object]] = set()  # kind, virtual host and name of removed entries
        queues = content["queues"]
        assert isinstance(queues, list)
        self._queues = Counter(entry.get("vhost", self._own) for entry in queues)

    def run(self) -> Iterator[bool]:
        """Change the entries in place. Yields between steps, so that clients can be served."""
        self._content["rabbit_version"] = self._content["rabbitmq_version"] = self._target.version
        if "limits" in self._content:
            self._limit(self._own, self._content["limits"])
        yield from self._section("users", lambda entry: f"user '{entry['name']}'", self._user)
        yield from self._section("vhosts", lambda entry: f"virtual host '{entry['name']}'", self._vhost)
        yield from self._section("exchanges", lambda entry: self._named("exchange", entry), self._exchange)
        yield from self._section("queues", lambda entry: self._named("queue", entry), self._queue)
        yield from self._section("topic_permissions", self._named_topic, self._topic_permission)
        yield from self._section("bindings", self._named_binding, self._binding)
        yield from self._section("parameters", self._named_parameter, self._parameter)
        yield from self._section("policies", lambda entry: self._named("policy", entry), self._policy)
        yield from self._section("global_parameters", lambda entry: f"global parameter '{entry['name']}'", self._global)

    def _section(self, key: str, named: Callable[[Entry], str], fit: Callable[[Entry], None]) -> Iterator[bool]:
        entries = self._content.get(key)
        if not isinstance(entries, list):
            return
        kept: list[Entry] = []
        for at, entry in enumerate(entries):
            if at % AT_ONCE == AT_ONCE - 1:
                yield True
            self._subject = named(entry)
            try:
                fit(entry)
            except LeftOut as error:
                self._note(f"left out: {error}")
            except BadText:
                self._note("left out: it contains bytes that are not UTF-8, which JSON cannot represent")
            else:
                kept.append(entry)
        self._content[key] = kept

    def _note(self, reason: str) -> None:
        self.notes.append({"subject": self._subject, "reason": reason})

    # -- names of entries

    def _named(self, kind: str, entry: Entry) -> str:
        return f"{kind} '{entry['name']}' in virtual host '{entry.get('vhost', self._own)}'"

    def _named_parameter(self, entry: Entry) -> str:
        operator = entry["component"] == OPERATOR_POLICY
        return self._named("operator policy" if operator else f"parameter of {entry['component']}", entry)

    def _named_topic(self, entry: Entry) -> str:
        place = f"exchange '{entry['exchange']}' in virtual host '{entry['vhost']}'"
        return f"topic permission of user '{entry['user']}' for {place}"

    def _named_binding(self, entry: Entry) -> str:
        key = entry["routing_key"]
        shown = key if len(key) <= SHOWN else f"{key[:SHOWN]}..."
        ends = f"exchange '{entry['source']}' to {entry['destination_type']} '{entry['destination']}'"
        return f"binding of {ends} with key '{shown}' in virtual host '{entry.get('vhost', self._own)}'"

    # -- the sections

    def _user(self, entry: Entry) -> None:
        if entry["hashing_algorithm"] not in self._target.hashes or "leveret_credential" in entry:
            algorithm = entry.pop("leveret_credential", {}).get("algorithm", entry["hashing_algorithm"])
            entry["password_hash"], entry["hashing_algorithm"] = "", SHA256
            there = (
                f"{self._target.title} cannot check a hash of {algorithm}; the user cannot log in there until you set"
            )
            self._note(f"the password is left out: {there} a new one with `rabbitmqctl change_password`")
        for tag in [tag for tag in entry["tags"] if not tag.isascii()]:
            entry["tags"].remove(tag)
            self._note(f"the tag '{tag}' is left out: {self._target.title} garbles tags that are not ASCII")

    def _vhost(self, entry: Entry) -> None:
        self._limit(entry["name"], entry["limits"])

    def _limit(self, vhost: object, limits: object) -> list[str]:
        """Remove limits that are unknown there, or would exclude existing queues. Returns: notes."""
        assert isinstance(limits, dict)
        there = self._target.title
        lost = {name: f"{there} does not support it" for name in limits if name not in self._target.limits}
        if 0 <= limits.get(MAX_QUEUES, -1) < self._queues[vhost]:
            lost[MAX_QUEUES] = f"there are more queues, and {there} would lose some of them"
        for name in lost:
            del limits[name]
        return [f"{name} is left out: {reason}" for name, reason in sorted(lost.items())]

    def _exchange(self, entry: Entry) -> None:
        try:
            check(entry["name"])
            kinds = [
                entry["type"],
                *(entry["arguments"][key] for key in ("x-delayed-type",) if key in entry["arguments"]),
            ]
            for kind in kinds if entry["type"] == "x-delayed-message" else kinds[:1]:
                reason = self._target.why_not(self._target.exchange_types, kind)
                if reason:
                    raise LeftOut(f"it is of type {kind}; {reason}")
        except (LeftOut, BadText):
            self._gone.add(("exchange", entry.get("vhost", self._own), entry["name"]))
            raise
        self._fit_arguments(entry)

    def _queue(self, entry: Entry) -> None:
        try:
            check(entry["name"])
        except BadText:
            self._gone.add(("queue", entry.get("vhost", self._own), entry["name"]))
            raise
        arguments = entry["arguments"]
        kind = entry["type"]
        if entry.pop(CHANGED, None):
            text = "changes of its arguments are left out"
            self._note(f"{text}: {self._target.title} only supports the declared arguments")
        if not arguments["x-queue-type"]:
            arguments["x-queue-type"] = kind
            self._note(f"x-queue-type is {kind}: there, an empty one means the default of the virtual host")
        for name in list(arguments):
            types = self._target.arguments.get(name)
            values = self._target.argument_values.get(name)
            if types is not None and kind not in types:
                del arguments[name]
                self._note(f"{name} is left out: {self._target.title} does not support it for queues of type {kind}")
            elif values is not None and arguments[name] not in values:
                self._note(f"{name} is left out: {self._target.title} does not accept {arguments.pop(name)!r}")
        self._fit_arguments(entry)

    def _fit_arguments(self, entry: Entry) -> None:
        """Fit the arguments of any queue or exchange."""
        arguments = entry["arguments"]
        for name in list(arguments):
            reason = _unwritten({name: arguments[name]})
            if reason:
                del arguments[name]
                self._note(f"the argument {name} is left out: {reason}")
            elif name in self._target.idle_arguments and arguments[name]:
                why = self._target.why_not(self._target.idle_arguments, name)
                if why:
                    self._note(f"{name} has no effect there: {why}")

    def _topic_permission(self, entry: Entry) -> None:
        self._needs("exchange", entry["vhost"], entry["exchange"])

    def _binding(self, entry: Entry) -> None:
        vhost = entry.get("vhost", self._own)
        self._needs("exchange", vhost, entry["source"])
        self._needs(entry["destination_type"], vhost, entry["destination"])
        check(entry["routing_key"])
        reason = _unwritten(entry["arguments"])
        if reason:
            raise LeftOut(f"its arguments cannot be exported: {reason}")

    def _needs(self, kind: str, vhost: object, name: object) -> None:
        if (kind, vhost, name) in self._gone:
            raise LeftOut(f"{kind} '{name}' is left out as well")

    def _parameter(self, entry: Entry) -> None:
        component = entry["component"]
        reason = self._target.why_not(self._target.components, component)
        if reason:
            raise LeftOut(reason)
        if component == OPERATOR_POLICY:
            self._fit_policy(entry["value"], are_operator=True)
        elif component == VHOST_LIMITS:
            for text in self._limit(entry.get("vhost", self._own), entry["value"]):
                self._note(text)

    def _policy(self, entry: Entry) -> None:
        self._fit_policy(entry, are_operator=False)

    def _fit_policy(self, body: Entry, are_operator: bool) -> None:
        definition = body["definition"] = dict(body["definition"])  # a copy, as the broker uses the original
        lost: dict[str, str] = {}
        for key in sorted(definition):
            reason = self._target.why_not(self._target.policy_keys, key)
            if are_operator and not reason and key not in self._target.operator_keys:
                reason = f"{self._target.title} does not support it in operator policies"
            if reason:
                lost[key] = reason
        if len(lost) == len(definition):
            raise LeftOut("; ".join(f"{key}: {reason}" for key, reason in lost.items()))
        for key, reason in lost.items():
            del definition[key]
            self._note(f"{key} is left out: {reason}")
        if body["apply-to"] in FOR_CLASSIC:
            self._tell_of_classic(definition)

    def _tell_of_classic(self, definition: Entry) -> None:
        """Note what a policy does not do for classic queues."""
        strict = sorted(self._target.not_for_classic.intersection(definition))
        if strict:
            text = (
                f"in {self._target.title}, a policy with {' and '.join(strict)} does not apply to classic queues at all"
            )
            self._note(f"{text}; split the policy to apply the rest to them")
        for key in sorted(self._target.idle_for_classic.intersection(definition)):
            self._note(f"in {self._target.title}, {key} has no effect on classic queues")

    def _global(self, entry: Entry) -> None:
        if not entry["name"]:
            raise LeftOut(f"{self._target.title} requires a name")
        if entry["name"].startswith(self._target.internal):
            raise LeftOut(f"{self._target.title} reserves names that begin with '{self._target.internal}'")


def _unwritten(arguments: dict[str, object]) -> str:
    """Why arguments cannot be exported for another broker; empty if they can."""
    try:
        check(arguments)
    except BadText:
        return "it contains bytes that are not UTF-8, which JSON cannot represent"
    pending: list[object] = [arguments]
    while pending:
        each = pending.pop()
        if each is None:
            return "JSON cannot represent its value, and null is refused"
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return ""
