"""Apply policies: to a queue or exchange when it is declared, and to all of them when a policy changes.

A queue or exchange whose policies stay the same is left alone. The methods of VirtualHost call the functions here.
Source: rabbit_policy.erl (set/1, update_matched_objects).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core import definitions
from leveret.core.definition import form
from leveret.core.policy.arguments import Definition, QueueSettings
from leveret.core.policy.overrides import limited
from leveret.core.policy.policy import EXCHANGE, Policies, Policy, effective_definition
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.work import PIECE

if TYPE_CHECKING:
    from leveret.core.exchange.exchange import Exchange
    from leveret.core.queue.queue import Queue
    from leveret.core.vhost import VirtualHost


SEARCHES: Final = 200  # Matcher cost for one piece: some milliseconds if all patterns are slow


def put(vhost: VirtualHost, policies: Policies, policy: Policy) -> None:
    """Add or change a policy, durably and with immediate effect. Raises: PolicyError."""
    policies.check(policy)
    key, value = definitions.policy_key(vhost.name, policy.name), definitions.policy_value(policy)
    policies.put(policy)
    vhost.broker.remember(_kind(policies), key, value)
    apply_to_all(vhost)


def delete(vhost: VirtualHost, policies: Policies, name: str) -> bool:
    """Delete a policy, durably and with immediate effect. Returns: whether it existed."""
    if not policies.delete(name):
        return vhost.broker.drop_aside(_kind(policies), vhost.name, name)
    vhost.broker.forget(_kind(policies), definitions.policy_key(vhost.name, name))
    apply_to_all(vhost)
    return True


def forget(vhost: VirtualHost, policies: Policies) -> None:
    """Delete all policies of a virtual host that is about to be deleted with its content."""
    for name in list(policies.all):
        policies.delete(name)
        vhost.broker.forget(_kind(policies), definitions.policy_key(vhost.name, name))


def _kind(policies: Policies) -> str:
    return form.OPERATOR_POLICY if policies.are_operator else form.POLICY


class PolicyApplication(BackgroundJob):
    """A pass over all queues and exchanges of a virtual host. New ones apply the policies at their declaration.

    Each virtual host has at most one pass at a time. If policies change meanwhile, another pass follows.
    """

    def __init__(self, vhost: VirtualHost) -> None:
        self._vhost = vhost
        self._is_stale = False
        self._queues: list[Queue] = []
        self._exchanges: list[Exchange] = []
        self._start()

    def _start(self) -> None:
        self._is_stale = False
        self._queues = list(reversed(self._vhost.queues.values()))
        self._exchanges = list(reversed(self._vhost.exchanges.values()))

    def again(self) -> None:
        """Request another pass: the policies have changed again."""
        self._is_stale = True

    def work(self) -> bool:
        """Apply the policies to some queues and exchanges, bounded by matching cost. Returns: whether all are done."""
        self._vhost.policy_application = None  # if this fails, the next change starts a new pass
        self._piece()
        if not self._queues and not self._exchanges:
            if not self._is_stale:
                return True
            self._start()
        self._vhost.policy_application = self
        return False

    def _piece(self) -> None:
        vhost, matcher = self._vhost, self._vhost.broker.matcher
        left = PIECE
        until = matcher.cost + SEARCHES
        while left > 0 and matcher.cost < until and (self._queues or self._exchanges):
            left -= 1
            if self._queues:
                queue = self._queues.pop()
                if not queue.deleted or queue.fault:
                    try:
                        apply_to_queue(vhost, queue)
                    except Exception as error:
                        queue.fail("apply a policy", error)
            else:
                exchange = self._exchanges.pop()
                if vhost.exchanges.get(exchange.name) is exchange:
                    try:
                        apply_to_exchange(vhost, exchange)
                    except Exception as error:
                        self.fail("apply a policy", error)

    def fail(self, doing: str, error: Exception) -> None:
        """Report that a policy cannot be applied."""
        self._vhost.broker.faults.own("apply policies", error)


def apply_to_all(vhost: VirtualHost) -> None:
    """Apply the matching policies to all queues and exchanges of a virtual host, in pieces if there are many."""
    if vhost.policy_application is not None:
        vhost.policy_application.again()
    else:
        vhost.broker.background.begin(PolicyApplication(vhost))


def apply_to_queue(vhost: VirtualHost, queue: Queue) -> None:
    """Apply the matching policies to a queue."""
    kind = queue.settings.queue_type
    policy = vhost.policies.match(kind, queue.name)
    operator_policy = vhost.operator_policies.match(kind, queue.name)
    if policy is not queue.policy or operator_policy is not queue.operator_policy:
        queue.policy = policy
        queue.operator_policy = operator_policy
        _settle(queue)


def override(vhost: VirtualHost, queue: Queue, overrides: Definition) -> None:
    """Replace the overrides of a queue with immediate effect; durably if the queue is durable.

    overrides: as core/policy/overrides.py checks them.
    """
    value = definitions.queue_value(queue, overrides) if queue.durable else b""
    queue.overrides = overrides
    if queue.durable:
        vhost.broker.remember(form.QUEUE, definitions.queue_key(queue), value)
    _settle(queue)


def override_again(queue: Queue, overrides: Definition) -> None:
    """Restore the overrides of a queue."""
    queue.overrides = overrides
    _settle(queue)


def _settle(queue: Queue) -> None:
    """Apply arguments, policies and overrides to a queue."""
    operator_policy = queue.operator_policy
    said = effective_definition(queue.policy, operator_policy)
    queue.apply(QueueSettings(queue.arguments, said, limited(queue.overrides, operator_policy)))


def apply_to_exchange(vhost: VirtualHost, exchange: Exchange) -> None:
    """Apply the matching policies to an exchange."""
    policy = vhost.policies.match(EXCHANGE, exchange.name)
    operator_policy = vhost.operator_policies.match(EXCHANGE, exchange.name)
    if policy is not exchange.policy or operator_policy is not exchange.operator_policy:
        exchange.policy = policy
        exchange.operator_policy = operator_policy
        exchange.apply(effective_definition(policy, operator_policy))
        vhost.generation += 1
