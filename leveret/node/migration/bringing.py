"""Import the source's definitions into the target, as far as the target supports them.

Users that already exist in the target keep their properties and passwords, as the migration runs as one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from leveret.management.targets import Target
from leveret.node.migration.side import Side, SideError
from leveret.node.migration.sink import PREFIX

BY_VHOST: Final = ("permissions", "topic_permissions", "parameters", "policies", "queues", "exchanges", "bindings")
NAMED: Final = {"queues": "queue", "exchanges": "exchange"}
COMPARED: Final = ("type", "durable", "auto_delete", "arguments")
RABBITMQ: Final = "rabbitmq-4.3"


@dataclass
class Brought:
    """The result. applied: counts by section. notes, errors: pairs of subject and text."""

    applied: dict[str, int] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)


def bring(source: Side, target: Side, vhosts: list[str], is_trial: bool) -> Brought:
    """Import the definitions. is_trial: only determine the result. Raises: SideError."""
    brought = Brought()
    content = _narrowed(_export(source, target, brought), vhosts)
    present = {str(user["name"]) for user in target.get("/users")}
    for user in [user for user in content.get("users", []) if user["name"] in present]:
        content["users"].remove(user)
        brought.notes.append((f"user '{user['name']}'", "already exists in the target and keeps its password"))
    if target.is_leveret:
        _import(target, content, is_trial, brought)
    else:
        _compare(target, content, brought)
        if not is_trial:
            status, answer = target.ask("POST", "/definitions", body=content)
            if status >= 300:
                reason = answer.get("reason", "") if isinstance(answer, dict) else ""
                raise SideError(f"{target.shown} refused the definitions: {reason or f'status {status}'}")
        brought.applied = {key: len(value) for key, value in content.items() if isinstance(value, list) and value}
    return brought


def _export(source: Side, target: Side, brought: Brought) -> dict[str, Any]:
    if not source.is_leveret:
        found: dict[str, Any] = source.get("/definitions")
        return found
    arguments: dict[str, object] = {}
    if not target.is_leveret:
        arguments = {"target": RABBITMQ, "plugins": _plugins(target)}
    content: dict[str, Any] = source.do("export_definitions", arguments)
    brought.notes += [(note["subject"], note["reason"]) for note in content.pop("notes", [])]
    return content


def _plugins(target: Side) -> list[str]:
    """The enabled plugins of a RabbitMQ that affect an export."""
    enabled = {plugin for node in target.get("/nodes") for plugin in node.get("enabled_plugins", [])}
    tables = (Target.exchange_types, Target.idle_arguments, Target.policy_keys, Target.components)
    return sorted(enabled & {plugin for table in tables for plugin in table.values()})


def _narrowed(content: dict[str, Any], vhosts: list[str]) -> dict[str, Any]:
    """Keep only these virtual hosts and the users with permissions in them, and drop the migration's own objects."""
    found = dict(content)
    for section in ("queues", "exchanges", "bindings"):
        found[section] = [each for each in content.get(section, []) if not _is_ours(each)]
    if not vhosts:
        return found
    found["vhosts"] = [each for each in content.get("vhosts", []) if each["name"] in vhosts]
    for section in BY_VHOST:
        found[section] = [each for each in found.get(section, []) if each.get("vhost") in vhosts]
    users = {each["user"] for each in found["permissions"]}
    found["users"] = [each for each in content.get("users", []) if each["name"] in users]
    found["global_parameters"] = []
    return found


def _is_ours(entry: dict[str, Any]) -> bool:
    return any(str(entry.get(key, "")).startswith(PREFIX) for key in ("name", "source"))


def _import(target: Side, content: dict[str, Any], is_trial: bool, brought: Brought) -> None:
    arguments: dict[str, object] = {"content": content, "dry_run": True} if is_trial else {"content": content}
    answer = target.do("import_definitions", arguments)
    brought.applied = answer["applied"]
    brought.notes += [(_named(content, note["path"]), note["reason"]) for note in answer["notes"]]
    brought.errors = [(_named(content, error["path"]), error["reason"]) for error in answer["errors"]]


def _named(content: dict[str, Any], path: str) -> str:
    """A path such as `queues[3].arguments`, with the name of the object."""
    section, _, rest = path.partition("[")
    number = rest.partition("]")[0]
    entries = content.get(section)
    if not number.isdecimal() or not isinstance(entries, list) or int(number) >= len(entries):
        return path
    entry = entries[int(number)]
    names = [str(entry[key]) for key in ("name", "user", "source", "destination") if entry.get(key)]
    where = f" in virtual host '{entry['vhost']}'" if "vhost" in entry else ""
    shown = " ".join(f"'{name}'" for name in names)
    return f"{path} {shown}{where}"


def _compare(target: Side, content: dict[str, Any], brought: Brought) -> None:
    """Note existing objects in a RabbitMQ that differ: it keeps them without any message."""
    there = target.get("/definitions")
    for section, kind in NAMED.items():
        known = {(each["vhost"], each["name"]): each for each in there.get(section, [])}
        for entry in content.get(section, []):
            other = known.get((entry.get("vhost"), entry["name"]))
            if other is None:
                continue
            differ = [key for key in COMPARED if entry.get(key) != other.get(key)]
            if differ:
                subject = f"{kind} '{entry['name']}' in virtual host '{entry['vhost']}'"
                text = f"already exists in the target and is not changed: different {' and '.join(differ)}"
                brought.notes.append((subject, text))
