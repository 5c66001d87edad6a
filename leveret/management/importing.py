"""Import a definitions file, entry by entry. Each error is reported with its path.

An import only adds. Existing users, virtual hosts, permissions, policies and parameters are changed as the file says;
existing exchanges and queues stay unchanged, with a note if they differ. A lower limit of a virtual host takes effect
at the end of the import, so that a file restores everything that was exported.
Source: rabbit_definitions.erl apply_defs, where parameters, including limits, come after exchanges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import msgspec

from leveret.auth.passwords import ARGON2, MD5, SHA256
from leveret.core.access.user import USER_LIMITS, VHOST_LIMITS, checked_limits
from leveret.core.broker import Broker
from leveret.core.dry_run import dry_run_broker
from leveret.core.errors.administration import AdministrationError, InvalidError, Promise, shortened
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.policy.documents import read_json
from leveret.core.policy.overrides import checked
from leveret.core.policy.policy import WITHOUT_EFFECT
from leveret.core.vhost import VirtualHost
from leveret.management import entries, jobs, parameters
from leveret.management.arguments import BadArgument, from_json
from leveret.management.credentials import read_credential
from leveret.management.definitions import HEADER_KEYS, export_steps
from leveret.management.errors import check_name, explain
from leveret.management.policies import BadPolicy, put_operator_policy, put_policy
from leveret.management.texts import NO_TEXT, BadText, check
from leveret.management.users import check_user_name
from leveret.management.vhosts import find_vhost, put_vhost, read_tags
from leveret.wire.fields import Table

AT_ONCE = 20  # entries
MAX_ENTRIES = 1_000_000  # of one file
MAX_TOLD = 10_000  # reported errors of one file, and as many notes
MD5_VERSIONS = re.compile(r"3\.[0-5]\.")  # of RabbitMQ, which exported no hashing algorithm
MODULE = re.compile(r"rabbit_(\w+)_queue")  # RabbitMQ's internal name of a queue type
# Types of RabbitMQ and its plugins that this broker does not support: such entries are left out without an error.
QUEUE_TYPES_ELSEWHERE = frozenset(("stream",))
EXCHANGE_TYPES_ELSEWHERE = frozenset(("x-jms-topic",))


def import_definitions(
    broker: Broker, content: dict[str, Any], vhost: str | None = None, atomic: bool = False, dry_run: bool = False
) -> Promise:
    """Apply a definitions file, in steps. vhost: for entries without one, as in a file for a single virtual host.

    atomic: apply nothing if there is any error, determined by a trial on a copy of the definitions. The import is then
    one change on disk: after a crash, all of it or nothing is there.
    dry_run: apply nothing, only return the result of the trial.
    Promises: applied (counts by section), notes and errors (each a path and a reason).
    """
    if vhost is not None:
        find_vhost(broker, vhost)
    count = sum(len(found) for found in content.values() if isinstance(found, list))
    if count > MAX_ENTRIES:
        text = f"there are {count} entries; at most {MAX_ENTRIES} can be imported at once"
        raise InvalidError(f"{text}; split the file and import the parts one after another")
    answer: dict[str, object] = {}
    return jobs.begin(broker, _import(broker, content, vhost, atomic, dry_run, answer), answer)


def tell_of_transient(content: dict[str, Any], notes: list[dict[str, str]]) -> None:
    """Add a note for each transient queue and exchange, which only exist while a broker runs."""
    for section in ("exchanges", "queues"):
        entries_there = content.get(section)
        for at, entry in enumerate(entries_there if isinstance(entries_there, list) else ()):
            if isinstance(entry, dict) and entry.get("durable") is False:
                reason = "it is not durable, so it only exists while a broker runs; import it into a running broker"
                _add(notes, f"{section}[{at}]", reason)


def _import(
    broker: Broker,
    content: dict[str, Any],
    vhost: str | None,
    atomic: bool,
    dry_run: bool,
    answer: dict[str, object],
) -> Iterator[bool]:
    """The steps of an import."""
    if atomic or dry_run:
        copy = dry_run_broker(broker)
        trial = Import(copy, content, vhost)
        try:
            yield from _fill(copy, broker)
            yield from trial.run()
        except Exception:
            yield from _dismantle(copy, broker)
            raise
        yield from _dismantle(copy, broker)
        if dry_run:
            answer.update({"applied": trial.applied, "notes": trial.notes, "errors": trial.errors})
            return
        if trial.errors:
            answer.update({"applied": {}, "notes": [], "errors": trial.errors})
            return
        broker.gather_definitions(True)
    real = Import(broker, content, vhost)
    try:
        yield from real.run()
    finally:
        if atomic:
            broker.gather_definitions(False)
    answer.update({"applied": real.applied, "notes": real.notes, "errors": real.errors})


def _dismantle(copy: Broker, broker: Broker) -> Iterator[bool]:
    """Take a broker apart, as its reference cycles would leave it to the garbage collector."""
    for vhost in list(copy.vhosts.values()):
        vhost.protected = False
        copy.delete_vhost(vhost.name)
    while len(copy.background):
        copy.work()
        yield True
    copy.give_way(broker)


def _fill(copy: Broker, broker: Broker) -> Iterator[bool]:
    """Copy all definitions to the broker for the trial. Limits come last, as they may already be exceeded."""
    present: dict[str, Any] = {}
    yield from export_steps(broker, present)
    vhosts, kept = present["vhosts"], present["parameters"]
    assert isinstance(vhosts, list)
    assert isinstance(kept, list)
    limits = [entry for entry in kept if entry["component"] == parameters.VHOST_LIMITS]
    others = [entry for entry in kept if entry["component"] != parameters.VHOST_LIMITS]
    unlimited = {**present, "vhosts": [{**vhost, "limits": {}} for vhost in vhosts], "parameters": others}
    yield from Import(copy, unlimited, None).run()
    yield from Import(copy, {"parameters": limits}, None).run()


class Note(Exception):
    """An entry was left out without an error, as in RabbitMQ. The text says why."""


class Import:
    """The import of one file. applied: counts by section. notes, errors: a path and a reason each."""

    def __init__(self, broker: Broker, content: dict[str, Any], vhost: str | None) -> None:
        self._broker = broker
        self._content = content
        self._vhost = vhost
        self.applied: dict[str, int] = {}
        self.notes: list[dict[str, str]] = []
        self.errors: list[dict[str, str]] = []
        self._path = ""  # of the current entry
        self._lower: dict[str, dict[str, int]] = {}  # limits to set at the end, by virtual host
        self._left_out: set[tuple[str, str, str]] = set()  # kind, virtual host and name

    def run(self) -> Iterator[bool]:
        """Apply all valid entries. Yields between steps, so that clients can be served."""
        yield from self._section("users", entries.UserEntry, self._user)
        while "vhosts" in self._content and self._broker.leaving:
            yield True  # a name becomes free when its old virtual host is completely deleted
        yield from self._section("vhosts", entries.VhostEntry, self._virtual_host)
        yield from self._section("permissions", entries.PermissionEntry, self._permission)
        yield from self._section("parameters", entries.ParameterEntry, self._parameter)
        yield from self._section("exchanges", entries.ExchangeEntry, self._exchange)
        yield from self._section("topic_permissions", entries.TopicPermissionEntry, self._topic_permission)
        yield from self._section("global_parameters", entries.GlobalParameterEntry, self._global_parameter)
        yield from self._section("policies", entries.PolicyEntry, self._policy)
        yield from self._section("queues", entries.QueueEntry, self._queue)
        yield from self._section("bindings", entries.BindingEntry, self._binding)
        self._set_lower_limits()
        for key in self._content:
            if key not in HEADER_KEYS:
                self._tell(key, "not a section of a definitions file; ignored")

    def _section(self, key: str, shape: type[Any], apply: Callable[[Any], None]) -> Iterator[bool]:
        if key not in self._content:
            return
        content = self._content[key]
        if not isinstance(content, list):
            self._wrong(key, "expected array")
            return
        count = 0
        matcher = self._broker.matcher
        long = matcher.long
        for at, raw in enumerate(content):
            if at % AT_ONCE == AT_ONCE - 1 or matcher.long > long:
                long = matcher.long
                yield True
            path = self._path = f"{key}[{at}]"
            try:
                apply(_entry(_read(raw), shape))
                count += 1
            except Note as note:
                self._tell(path, str(note))
            except msgspec.ValidationError as error:
                below, reason = explain(error)
                self._wrong(path + below, reason)
            except BadText as error:
                self._wrong(path + error.path, NO_TEXT)
            except BadArgument as error:
                self._wrong(f"{path}.arguments{error.path}", error.reason)
            except BadPolicy as error:
                inside = ".value" if key == "parameters" else ""
                self._wrong(path + inside + error.path, str(error))
            except Refusal as error:
                self._wrong(path + _blamed(error.text), error.text)
            except AdministrationError as error:
                self._wrong(path, str(error))
        if count:
            self.applied[key] = count

    def _wrong(self, path: str, reason: str) -> None:
        _add(self.errors, path, reason)

    def _tell(self, path: str, reason: str) -> None:
        _add(self.notes, path, reason)

    # -- users, virtual hosts, permissions

    def _user(self, entry: entries.UserEntry) -> None:
        check_user_name(entry.name)
        own = entry.leveret_credential
        if own is not None:
            credential = read_credential(None, own.hash, own.algorithm)
        elif entry.password is not None and not entry.password_hash:
            algorithm = SHA256 if entry.hashing_algorithm in (None, ARGON2) else entry.hashing_algorithm
            credential = read_credential(entry.password or None, None, algorithm)
        else:
            credential = read_credential(None, entry.password_hash, entry.hashing_algorithm or self._old_algorithm())
        limits = checked_limits(_map(entry.limits, "limits"), USER_LIMITS)
        self._broker.users.put(entry.name, credential, read_tags(entry.tags))
        if limits:
            self._broker.users.set_limits(entry.name, limits)

    def _old_algorithm(self) -> str:
        """The algorithm of hashes that name none. Source: rabbit_auth_backend_internal.erl hashing_algorithm."""
        version = self._version()
        return MD5 if version is not None and MD5_VERSIONS.match(version) else SHA256

    def _version(self) -> str | None:
        """The version of the RabbitMQ that wrote the file; None if another program did."""
        version = self._content.get("rabbitmq_version", self._content.get("rabbit_version"))
        return version if isinstance(version, str) else None

    def _virtual_host(self, entry: entries.VhostEntry) -> None:
        said = entry.metadata or entries.VhostMetadata()
        description = entry.description if entry.description is not None else said.description
        tags = entry.tags if entry.tags is not None else said.tags
        kind = entry.default_queue_type if entry.default_queue_type is not None else said.default_queue_type
        if kind == "undefined":  # RabbitMQ writes this if it was never set
            kind = None
        elif kind is not None and (named := MODULE.fullmatch(kind)) is not None:
            kind = named[1]
        limits = checked_limits(_map(entry.limits or {}, "limits"), VHOST_LIMITS)
        put_vhost(self._broker, entry.name, description, tags, kind)
        self._limit(self._broker.vhost(entry.name), limits)
        if said.protected_from_deletion is not None:
            self._broker.protect_vhost(entry.name, said.protected_from_deletion)

    def _limit(self, vhost: VirtualHost, limits: dict[str, int]) -> None:
        """Set limits of a virtual host; lower ones take effect at the end of the import."""
        lower = self._lower.setdefault(vhost.name, {})
        for name, value in limits.items():
            before = vhost.limits.get(name, -1)
            if value >= 0 and (before < 0 or value < before):
                lower[name] = value
            else:
                lower.pop(name, None)
                self._broker.set_vhost_limits(vhost.name, {name: value})

    def _set_lower_limits(self) -> None:
        for name, limits in self._lower.items():
            if limits and name in self._broker.vhosts:  # may be deleted by now
                self._broker.set_vhost_limits(name, limits)

    def _permission(self, entry: entries.PermissionEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        self._broker.users.set_permission(entry.user, vhost.name, entry.configure, entry.write, entry.read)

    def _topic_permission(self, entry: entries.TopicPermissionEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        if entry.exchange not in vhost.exchanges:
            self._missing("exchange", entry.exchange, vhost)
        self._broker.users.set_topic_permission(entry.user, vhost.name, entry.exchange, entry.write, entry.read)

    # -- parameters and policies

    def _global_parameter(self, entry: entries.GlobalParameterEntry) -> None:
        parameters.set_global_parameter(self._broker, entry.name, entry.value)

    def _parameter(self, entry: entries.ParameterEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        if entry.component == parameters.VHOST_LIMITS:
            given = _inside(entry.value or {}, dict[str, int])  # an empty map may have become an empty list
            limits = checked_limits(given, VHOST_LIMITS)
            self._lower.pop(vhost.name, None)
            self._limit(vhost, limits)
            for name in set(vhost.limits) - set(limits):
                self._broker.clear_vhost_limits(vhost.name, name)
        elif entry.component == parameters.OPERATOR_POLICY:
            body = _inside(entry.value, entries.PolicyBody)
            put_operator_policy(vhost, entry.name, body)
            self._tell_idle(f"operator policy '{entry.name}'", body)
        elif entry.component == parameters.POLICY:
            put_policy(vhost, entry.name, _inside(entry.value, entries.PolicyBody))
        else:
            parameters.put_parameter(self._broker, vhost.name, entry.component, entry.name, entry.value)
            what = f"parameter '{entry.name}' of {entry.component}"
            self._tell(self._path, f"{what} is stored and exported, but has no effect here")

    def _policy(self, entry: entries.PolicyEntry) -> None:
        put_policy(self._in_vhost(entry.vhost), entry.name, entry)
        self._tell_idle(f"policy '{entry.name}'", entry)

    def _tell_idle(self, what: str, body: entries.PolicyBody) -> None:
        """Note the keys of a policy that have no effect here."""
        idle = sorted(WITHOUT_EFFECT.intersection(body.definition))
        if idle:
            verb = "has" if len(idle) == 1 else "have"
            text = f"{' and '.join(idle)} of {what} {'is' if len(idle) == 1 else 'are'} stored and exported"
            self._tell(self._path, f"{text}, but {verb} no effect here")

    # -- exchanges, queues, bindings

    def _exchange(self, entry: entries.ExchangeEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        check_name(entry.name)
        if not entry.name or entry.name.startswith("amq."):
            raise Note(f"exchange '{entry.name}' is predeclared; left out")
        if entry.type in EXCHANGE_TYPES_ELSEWHERE and entry.name not in vhost.exchanges:
            self._leave_out("exchange", entry.name, vhost, f"type {entry.type}")
        arguments = _arguments(entry.arguments)
        try:
            internal = entry.internal is True
            vhost.declare_exchange(entry.name, entry.type, entry.durable, entry.auto_delete, internal, arguments)
        except Refusal as error:
            _keep(error, entry.name in vhost.exchanges)

    def _queue(self, entry: entries.QueueEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        check_name(entry.name)
        if not entry.name:
            raise InvalidError("a queue needs a name")
        if entry.name.startswith("amq."):
            raise Note(f"queue '{entry.name}' has a name that the broker generates; left out")
        kind = entry.arguments.get("x-queue-type") if isinstance(entry.arguments, dict) else None
        if isinstance(kind, str) and kind in QUEUE_TYPES_ELSEWHERE and entry.name not in vhost.queues:
            self._leave_out("queue", entry.name, vhost, f"type {kind}")
        arguments = _arguments(entry.arguments)
        try:
            vhost.declare_queue(entry.name, entry.durable, False, entry.auto_delete, arguments, 0)
        except Refusal as error:
            _keep(error, entry.name in vhost.queues)
        if entry.leveret_changed:
            queue = vhost.queues[entry.name]
            vhost.override(queue, checked(entry.leveret_changed, queue.settings.queue_type))

    def _binding(self, entry: entries.BindingEntry) -> None:
        vhost = self._in_vhost(entry.vhost)
        check_name(entry.routing_key)
        if entry.destination_type not in ("queue", "exchange"):
            raise InvalidError(f"destination_type is '{entry.destination_type}'; it must be queue or exchange")
        to_queue = entry.destination_type == "queue"
        if entry.source not in vhost.exchanges:
            self._missing("exchange", entry.source, vhost)
        if entry.destination not in (vhost.queues if to_queue else vhost.exchanges):
            self._missing(entry.destination_type, entry.destination, vhost)
        if not entry.source:
            return  # every queue is bound to the default exchange anyway
        queue = vhost.queues[entry.destination] if to_queue else None
        exchange = None if to_queue else vhost.exchanges[entry.destination]
        arguments = _arguments(entry.arguments)
        vhost.bind(Binding(vhost.exchanges[entry.source], queue, exchange, entry.routing_key, arguments))

    def _leave_out(self, kind: str, name: str, vhost: VirtualHost, why: str) -> NoReturn:
        """Leave out an entry that this broker does not support. Raises: Note."""
        self._left_out.add((kind, vhost.name, name))
        raise Note(f"{kind} '{name}' in vhost '{vhost.name}' is of {why}, which is not supported here; left out")

    def _missing(self, kind: str, name: str, vhost: VirtualHost) -> NoReturn:
        """An entry refers to a missing object. Raises: Note if it is one that is never imported, else InvalidError."""
        text = f"no {kind} '{name}' in vhost '{vhost.name}'"
        if name.startswith("amq.") or (kind, vhost.name, name) in self._left_out:
            raise Note(f"{text}; left out too")
        if self._path.startswith("bindings") and self._version() is not None:
            why = "RabbitMQ exports bindings of exclusive queues and internal exchanges, but not these themselves"
            raise Note(f"{text}; left out: {why}")
        raise InvalidError(text)

    def _in_vhost(self, name: str | None) -> VirtualHost:
        if name is None:
            name = self._vhost
        if name is None:
            raise InvalidError("the entry names no virtual host; if the file is for a single one, give it with --vhost")
        return find_vhost(self._broker, name)


def _add(told: list[dict[str, str]], path: str, reason: str) -> None:
    """Report an error or note, up to MAX_TOLD."""
    if len(told) < MAX_TOLD:
        told.append({"path": shortened(path), "reason": shortened(reason)})
    elif len(told) == MAX_TOLD:
        reason = "this one too; further ones are not listed"
        told.append({"path": shortened(path), "reason": reason})


def _read(raw: object) -> object:
    """Parse an entry; those of large files are parsed only now. Raises: InvalidError."""
    if not isinstance(raw, msgspec.Raw):
        return raw
    try:
        return read_json(bytes(raw))
    except ValueError as error:
        raise InvalidError(str(error)) from None


def _entry(raw: object, shape: type[Any]) -> Any:
    """An entry of a section. Raises: BadText, msgspec.ValidationError."""
    if isinstance(raw, dict):  # arguments may contain arbitrary bytes; from_json() checks them
        check({key: value for key, value in raw.items() if key != "arguments"})
    try:
        return msgspec.convert(raw, shape)
    except UnicodeEncodeError:
        raise BadText("") from None


def _arguments(content: entries.Map) -> Table:
    return from_json(_map(content, "arguments"))


def _map(content: dict[str, Any] | list[Any], key: str) -> dict[str, Any]:
    if isinstance(content, dict):
        return content
    if content:
        raise InvalidError(f"{key}: expected object, got array")
    return {}


def _inside(value: object, shape: type[Any]) -> Any:
    """Convert the value of a parameter. Raises: InvalidError."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        path, reason = explain(error)
        raise InvalidError(f"value{path}: {reason}") from None


def _keep(error: Refusal, exists: bool) -> None:
    """Turn the refusal of an existing object into a note, as existing objects stay unchanged."""
    if not exists:
        raise error
    raise Note(f"it already exists and is not changed: {error.text}") from None


def _blamed(text: str) -> str:
    """The path of the part of an entry that an error text refers to."""
    found = re.match(r"(?:invalid (?:type '.*' for )?arg|Invalid argument,) '([^']+)' (?:for|in|must) ", text)
    if found is not None:
        return f".arguments.{found[1]}"
    return ".type" if text.startswith(("invalid exchange type", "unknown exchange type")) else ""
