"""Administration: all verbs by name, with JSON values as arguments and results.

A verb is a function in one of the modules of this package; its signature defines its arguments. The command line and
other interfaces call perform(), in the process of the broker or on a data directory that no broker uses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError, InvalidError
from leveret.core.errors.refusals import Refusal
from leveret.management import (
    definitions,
    importing,
    limits,
    logs,
    messages,
    parameters,
    permissions,
    policies,
    queues,
    status,
    texts,
    users,
    vhosts,
)
from leveret.management.errors import explain, unknown

FUNCTIONS: tuple[Callable[..., object], ...] = (
    users.list_users,
    users.add_user,
    users.change_password,
    users.set_user_tags,
    users.delete_user,
    vhosts.list_vhosts,
    vhosts.add_vhost,
    vhosts.set_vhost,
    vhosts.trace_vhost,
    vhosts.protect_vhost,
    vhosts.delete_vhost,
    permissions.list_permissions,
    permissions.set_permissions,
    permissions.clear_permissions,
    permissions.list_topic_permissions,
    permissions.set_topic_permissions,
    permissions.clear_topic_permissions,
    policies.list_policies,
    policies.set_policy,
    policies.clear_policy,
    policies.list_operator_policies,
    policies.set_operator_policy,
    policies.clear_operator_policy,
    limits.list_vhost_limits,
    limits.set_vhost_limits,
    limits.clear_vhost_limits,
    limits.list_user_limits,
    limits.set_user_limits,
    limits.clear_user_limits,
    parameters.list_parameters,
    parameters.set_parameter,
    parameters.clear_parameter,
    parameters.list_global_parameters,
    parameters.set_global_parameter,
    parameters.clear_global_parameter,
    definitions.export_definitions,
    importing.import_definitions,
    queues.repair_queue,
    messages.export_messages,
    messages.import_messages,
    status.show_status,
    logs.show_log_levels,
    logs.set_log_level,
)
CHECKS_ITSELF = frozenset(("import_definitions",))  # verbs that check their arguments themselves
LIVE = frozenset(
    (
        *("trace_vhost", "repair_queue", "export_messages", "import_messages", "show_status"),
        *("show_log_levels", "set_log_level"),
    )
)


class Verb:
    """One verb. changes: whether it may change the broker. is_live: whether it requires a running broker.

    function: its implementation. is_persisted: whether its changes are stored in the data directory.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self.name = function.__name__
        self.changes = not self.name.startswith(("list_", "export_", "show_"))
        self.is_live = self.name in LIVE
        self.is_persisted = self.changes and not self.is_live
        removes = self.name.startswith(("delete_", "clear_"))  # existing objects, even with invalid names
        self._checks = self.changes and not removes and self.name not in CHECKS_ITSELF
        self.function = function
        hints = get_type_hints(function, include_extras=True)
        fields: list[Any] = []
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            if parameter.default is parameter.empty:
                fields.append((name, hints[name]))
            else:
                fields.append((name, hints[name], parameter.default))
        self._arguments = msgspec.defstruct(self.name, fields, kw_only=True, forbid_unknown_fields=True)

    def perform(self, broker: Broker, arguments: dict[str, object]) -> object:
        """Perform the verb. Raises: AdministrationError."""
        if self._checks:
            texts.check(arguments)
        try:
            given = msgspec.convert(arguments, self._arguments)
        except msgspec.ValidationError as error:
            path, reason = explain(error)
            raise InvalidError(f"{path.lstrip('.')}: {reason}" if path else reason) from None
        except UnicodeEncodeError:
            raise InvalidError(f"the name of an argument: {texts.NO_TEXT}") from None
        try:
            return self.function(broker, **msgspec.structs.asdict(given))
        except Refusal as error:
            raise InvalidError(error.text) from None


VERBS = {verb.name: verb for verb in map(Verb, FUNCTIONS)}


class Administration:
    """The verbs on one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def perform(self, verb: str, arguments: dict[str, object]) -> object:
        """Perform a verb and return its result: JSON values, or a Promise of them.

        The messages of a queue are an exception: `data` in arguments and results is bytes.

        The change is durable once Broker.durable_revision reaches the value of Broker.revision after this call.
        Raises: AdministrationError, with one sentence for the user.
        """
        found = VERBS.get(verb)
        if found is None:
            raise unknown("verb", verb, VERBS)
        return found.perform(self._broker, arguments)


def is_persisted(verb: str) -> bool:
    """Whether the changes of a verb are stored in the data directory, so that its caller waits for the commit."""
    found = VERBS.get(verb)
    return found is not None and found.is_persisted


__all__ = ["FUNCTIONS", "VERBS", "Administration", "AdministrationError", "Verb", "is_persisted"]
