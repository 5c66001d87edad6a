"""Nodes of a cluster define what they like at the same time; in the end, all have what the table has."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest

from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.errors.administration import AdministrationError
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.policy.policy import Policy
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import Table as Fields
from leveret.wire.fields import long, longstr
from tests.brokers.cluster import ClusterNode, Table, in_effect, settle
from tests.marks import interpreted_only

pytestmark = interpreted_only

NODES = 3
STEPS = 400


class Crowd:
    """The users of some nodes. They do not talk to each other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.table = Table()
        first = ClusterNode(self.table, 0, NODES)
        first.broker.make_defaults("guest", Credential("", ""))
        settle(first)
        self.nodes = [first, *[ClusterNode(self.table, number, NODES) for number in range(1, NODES)]]
        settle(*self.nodes)
        self.wishes: list[Callable[[Broker], object]] = [
            *[self.declare_queue] * 4,
            *[self.delete_queue] * 2,
            self.override,
            *[self.declare_exchange] * 3,
            *[self.delete_exchange] * 2,
            *[self.bind] * 6,
            *[self.unbind] * 3,
            self.set_policy,
            self.delete_policy,
            self.put_user,
            self.delete_user,
            *[self.permit] * 2,
            self.forbid,
            self.permit_topics,
            self.limit,
            self.set_parameter,
            self.delete_parameter,
            *[self.add_vhost] * 2,
            self.delete_vhost,
        ]

    def run(self, steps: int) -> None:
        """Do something, often."""
        for _ in range(steps):
            node = self.random.choice(self.nodes)
            if self.random.random() < 0.5:
                with contextlib.suppress(Refusal, AdministrationError):
                    self.random.choice(self.wishes)(node.broker)
            else:
                self.random.choice([node.write, node.hear, node.read, node.take, node.work])()

    # -- wishes

    def one(self, *names: str) -> str:
        """Any of them."""
        return self.random.choice(names)

    def vhost(self, broker: Broker) -> VirtualHost:
        """Any one that exists."""
        return self.random.choice(list(broker.vhosts.values()))

    def declare_queue(self, broker: Broker) -> None:
        """Declare a queue."""
        arguments: Fields = {"x-max-length": long(self.random.randrange(3))} if self.random.random() < 0.3 else {}
        auto_delete = self.random.random() < 0.1
        self.vhost(broker).declare_queue(self.one("q", "r", "s"), True, False, auto_delete, arguments, 0)

    def delete_queue(self, broker: Broker) -> None:
        """Delete a queue."""
        self.vhost(broker).delete_queue(self.one("q", "r", "s"), False, False, 0)

    def override(self, broker: Broker) -> None:
        """Override settings of queues."""
        vhost = self.vhost(broker)
        for queue in vhost.queues.values():
            vhost.override(queue, {"max-length": self.random.randrange(3)})

    def declare_exchange(self, broker: Broker) -> None:
        """Declare an exchange."""
        kind = self.one("direct", "fanout", "topic", "x-delayed-message")
        arguments: Fields = {"x-delayed-type": longstr("direct")} if kind == "x-delayed-message" else {}
        auto_delete = self.random.random() < 0.5
        self.vhost(broker).declare_exchange(self.one("e", "f"), kind, True, auto_delete, False, arguments)

    def delete_exchange(self, broker: Broker) -> None:
        """Delete an exchange."""
        self.vhost(broker).delete_exchange(self.one("e", "f"), False)

    def binding(self, broker: Broker) -> Binding:
        """Any binding that may exist."""
        vhost = self.vhost(broker)
        source, key = vhost.exchange(self.one("e", "f", "amq.fanout")), self.one("1", "2")
        if self.random.random() < 0.3:
            return Binding(source, None, vhost.exchange(self.one("e", "f", "amq.direct")), key, {})
        return Binding(source, vhost.any_queue(self.one("q", "r", "s")), None, key, {})

    def bind(self, broker: Broker) -> None:
        """Bind something."""
        binding = self.binding(broker)
        vhost = binding.source.vhost
        assert isinstance(vhost, VirtualHost)
        vhost.bind(binding)

    def unbind(self, broker: Broker) -> None:
        """Unbind something."""
        binding = self.binding(broker)
        vhost = binding.source.vhost
        assert isinstance(vhost, VirtualHost)
        vhost.unbind(binding)

    def set_policy(self, broker: Broker) -> None:
        """Set a policy."""
        policy = Policy(self.one("p", "o"), ".*", {"max-length": self.random.randrange(3)}, 0, "queues")
        vhost = self.vhost(broker)
        self.random.choice([vhost.set_policy, vhost.set_operator_policy])(policy)

    def delete_policy(self, broker: Broker) -> None:
        """Delete a policy."""
        vhost = self.vhost(broker)
        self.random.choice([vhost.delete_policy, vhost.delete_operator_policy])(self.one("p", "o"))

    def put_user(self, broker: Broker) -> None:
        """Add or change a user."""
        broker.users.put(self.one("ann", "bob"), Credential("x", str(self.random.randrange(3))), (self.one("a", "b"),))

    def delete_user(self, broker: Broker) -> None:
        """Delete a user."""
        broker.users.delete(self.one("ann", "bob"))

    def permit(self, broker: Broker) -> None:
        """Set a permission."""
        broker.users.set_permission(self.one("ann", "bob"), self.vhost(broker).name, self.one("a", "b"), ".*", ".*")

    def forbid(self, broker: Broker) -> None:
        """Clear a permission."""
        broker.users.clear_permission(self.one("ann", "bob"), self.vhost(broker).name)

    def permit_topics(self, broker: Broker) -> None:
        """Set a topic permission."""
        broker.users.set_topic_permission(self.one("ann", "bob"), self.vhost(broker).name, self.one("e", "f"), "a", "b")

    def limit(self, broker: Broker) -> None:
        """Change limits."""
        broker.users.set_limits(self.one("ann", "bob"), {"max-connections": self.random.randrange(3)})
        name = self.vhost(broker).name
        if self.random.random() < 0.5:
            broker.set_vhost_limits(name, {"max-connections": self.random.randrange(3)})
        else:
            broker.clear_vhost_limits(name, None)

    def set_parameter(self, broker: Broker) -> None:
        """Set parameters."""
        broker.parameters.put(self.vhost(broker).name, "c", self.one("n", "m"), str(self.random.randrange(3)))
        broker.parameters.put_global(self.one("n", "m"), str(self.random.randrange(3)))

    def delete_parameter(self, broker: Broker) -> None:
        """Delete parameters."""
        broker.parameters.delete(self.vhost(broker).name, "c", self.one("n", "m"))
        broker.parameters.delete_global(self.one("n", "m"))

    def add_vhost(self, broker: Broker) -> None:
        """Add or change a virtual host."""
        broker.add_vhost(self.one("v", "w"), self.one("one", "another"))

    def delete_vhost(self, broker: Broker) -> None:
        """Delete a virtual host."""
        broker.delete_vhost(self.one("v", "w"))


@pytest.mark.parametrize("seed", range(20))
def test_all_nodes_have_in_the_end_what_the_table_has(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(3):
        crowd.run(STEPS)
        settle(*crowd.nodes)
        rows = {key: value for key, value in crowd.table.values().items() if key[0] != form.DEFAULTS}
        for node in crowd.nodes:
            broker = node.broker
            assert broker.faults.is_settled()
            assert not broker.leaving
            aside = {(entry.kind, entry.key): entry.value for entry in broker.aside.entries()}
            assert {**in_effect(broker), **aside} == rows, broker.node
        written = [node.log.written for node in crowd.nodes]
        settle(*crowd.nodes)
        assert [node.log.written for node in crowd.nodes] == written
        restarted = ClusterNode(crowd.table, 0, NODES)
        assert in_effect(restarted.broker) == in_effect(crowd.nodes[0].broker)
