"""Policies: settings for every queue and exchange whose name matches a pattern.

One policy and one operator policy apply to each: the matching one with the highest priority. The two are merged key by
key, then merged with the arguments of the queue in core/policy/arguments.py. Matching happens at declarations and
changes of policies, never for a message.
Source: rabbit_policy.erl.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.errors.administration import InvalidError
from leveret.core.policy.arguments import BY_KEY, CLASSIC, QUORUM, STREAM, Argument, Definition, winner
from leveret.core.policy.checks import brief
from leveret.core.policy.documents import TOO_DEEP, is_too_deep
from leveret.core.policy.matching import Matcher, Patience
from leveret.core.policy.patterns import PatternError, compile_pattern

EXCHANGE: Final = "exchange"  # a kind besides the queue types

_QUEUES: Final = (CLASSIC, QUORUM, STREAM)
APPLY_TO: Final = {
    "all": (*_QUEUES, EXCHANGE),
    "queues": _QUEUES,
    "classic_queues": (CLASSIC,),
    "quorum_queues": (QUORUM,),
    "streams": (STREAM,),
    "exchanges": (EXCHANGE,),
}
# Keys of other brokers and of plugins: stored and exported, without effect.
MIRRORING: Final = frozenset(  # of RabbitMQ up to 3.13, operator policies too. Source: rabbit_mirror_queue_misc.erl
    (
        "ha-mode",
        "ha-params",
        "ha-sync-mode",
        "ha-sync-batch-size",
        "ha-promote-on-shutdown",
        "ha-promote-on-failure",
    )
)
FEDERATION: Final = frozenset(  # Source: rabbit_federation_parameters.erl
    ("federation-upstream", "federation-upstream-set", "federation-upstream-pattern")
)
SHARDING: Final = frozenset(("shards-per-node", "routing-key"))  # Source: rabbit_sharding_policy_validator.erl
WITHOUT_EFFECT: Final = MIRRORING | FEDERATION | SHARDING


@mypyc_attr(native_class=False)
class PolicyError(InvalidError):
    """A policy is invalid; the text is that of RabbitMQ's management API."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Validation failed\n\n{reason}\n")


class Policy:
    """A policy or an operator policy.

    pattern: searched in names; compiled: the same, compiled. apply_to: all, queues, classic_queues, quorum_queues,
    streams or exchanges. definition: JSON values by key. Raises: PolicyError for an invalid pattern.
    """

    __slots__ = ("_passes_by", "apply_to", "compiled", "definition", "name", "pattern", "priority")

    def __init__(self, name: str, pattern: str, definition: Definition, priority: int, apply_to: str) -> None:
        self.name = name
        self.pattern = pattern
        self.definition = definition
        self.priority = priority
        self.apply_to = apply_to
        passes_by: set[str] = set()
        for key in definition:
            if key in BY_KEY:
                passes_by.update(BY_KEY[key].passes_by)
        self._passes_by = passes_by
        try:
            self.compiled = compile_pattern(pattern)
        except PatternError as error:
            wrong = "" if error.is_too_long else "should be regular expression but is invalid: "
            raise PolicyError(f"pattern {wrong}{error.reason}") from None

    def is_for(self, kind: str) -> bool:
        """Whether it may apply to this kind. kind: queue type, or EXCHANGE.

        A policy with a key that the queue type does not support does not apply at all, as in RabbitMQ.
        """
        return kind in APPLY_TO.get(self.apply_to, ()) and kind not in self._passes_by


class Policies:
    """The policies of a virtual host, or its operator policies. all: by name."""

    __slots__ = ("_matcher", "_ordered", "all", "are_operator")

    def __init__(self, are_operator: bool, matcher: Matcher) -> None:
        self.are_operator = are_operator
        self._matcher = matcher
        self.all: dict[str, Policy] = {}
        self._ordered: list[Policy] = []  # in order of precedence

    def check(self, policy: Policy) -> None:
        """Check a policy. Raises: PolicyError with RabbitMQ's reason."""
        if policy.apply_to not in APPLY_TO:
            raise PolicyError(
                f"apply-to '{policy.apply_to}' unrecognised; should be one of: 'queues', 'classic_queues',  "
                "'quorum_queues', 'streams', 'exchanges', or 'all'"
            )
        definition = policy.definition
        if not definition:
            raise PolicyError("no policy provided")
        if is_too_deep(definition):
            raise PolicyError(TOO_DEEP)
        strangers: list[str] = []
        for key in sorted(definition):
            row = BY_KEY.get(key)
            if key in (MIRRORING if self.are_operator else WITHOUT_EFFECT):
                continue
            if row is None or not self._knows(row):
                strangers.append(f"{{{brief(key)},{brief(definition[key])}}}")
            elif not row.test(definition[key]):
                raise PolicyError(f"{brief(definition[key])} is not a valid {row.called}")
        _check_retries(definition)
        if strangers:
            raise PolicyError(f"[{','.join(strangers)}] are not recognised policy settings")

    def put(self, policy: Policy) -> None:
        """Add a policy, or replace the one of its name."""
        everything = {**self.all, policy.name: policy}
        self._ordered = sorted(everything.values(), key=_place)
        self.all = everything

    def delete(self, name: str) -> bool:
        """Delete a policy. Returns: whether it existed."""
        if self.all.pop(name, None) is None:
            return False
        self._ordered = [policy for policy in self._ordered if policy.name != name]
        return True

    def match(self, kind: str, name: str) -> Policy | None:
        """The policy that applies to a queue or exchange; with equal priorities, the one whose name sorts first."""
        what = "an operator policy" if self.are_operator else "a policy"
        patience = Patience()
        for policy in self._ordered:
            if policy.is_for(kind) and self._matcher.is_in(policy.compiled, name, what, patience):
                return policy
        return None

    def _knows(self, row: Argument) -> bool:
        return not self.are_operator or row.against_operator != 0


def _place(policy: Policy) -> tuple[int, str]:
    return (-policy.priority, policy.name)


def _check_retries(definition: Definition) -> None:
    kind, least, most = [definition.get(f"delayed-retry-{name}") for name in ("type", "min", "max")]
    if kind is not None and kind != "disabled" and least is None:
        raise PolicyError(f"delayed-retry-min is required when delayed-retry-type is {kind}")
    if isinstance(least, int) and isinstance(most, int) and most < least:
        raise PolicyError(f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})")


def effective_definition(policy: Policy | None, operator_policy: Policy | None) -> Definition:
    """Merge the two that apply."""
    if operator_policy is None:
        return {} if policy is None else policy.definition
    if policy is None:
        return operator_policy.definition
    merged = {**policy.definition, **operator_policy.definition}
    for key in policy.definition:
        if key in operator_policy.definition and key in BY_KEY:
            rule = BY_KEY[key].against_operator
            merged[key] = winner(rule, policy.definition[key], operator_policy.definition[key])
    return merged
