"""Policies come to apply in pieces that take no long time, whatever their patterns are."""

from __future__ import annotations

import pytest

from leveret.core import definitions
from leveret.core.access.user import Credential, Permission, TopicPermission
from leveret.core.access.users import permission_value, topic_permission_value, user_value
from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.policy.matching import LONG, LONG_COST, Patience
from leveret.core.policy.policy import Policy
from leveret.core.policy_application import SEARCHES
from leveret.core.recovery import recover_definitions
from leveret.core.turn.clock import Clock
from leveret.core.vhost import VirtualHost
from leveret.store.memory import Kept, MemoryLog

BAD = "^(a|aa)+$"
ENDLESS = "a" * 60 + "!"  # for that pattern


@pytest.fixture
def vhost() -> VirtualHost:
    """A virtual host of a new broker."""
    log = MemoryLog()
    return Broker(log, log, Clock(), seed=1, node="leveret@test").vhosts["/"]


def broker_of(vhost: VirtualHost) -> Broker:
    """The broker whose virtual host this is."""
    assert isinstance(vhost.broker, Broker)
    return vhost.broker


def declare(vhost: VirtualHost, *names: str) -> None:
    for name in names:
        vhost.declare_queue(name, False, False, False, {}, 1)


def policy(pattern: str, length: int = 5, name: str = "p", priority: int = 0, to: str = "all") -> Policy:
    return Policy(name, pattern, {"max-length": length}, priority, to)


def lengths(vhost: VirtualHost) -> set[int]:
    return {int(queue.settings.max_length) for queue in vhost.queues.values()}


def test_a_bad_pattern_is_told_and_applies_to_nothing(vhost: VirtualHost) -> None:
    declare(vhost, ENDLESS, "aa", "b")
    vhost.set_policy(policy(BAD))
    vhost.set_operator_policy(policy(BAD))
    broker_of(vhost).finish()
    assert [int(vhost.queues[name].settings.max_length) for name in (ENDLESS, "aa", "b")] == [-1, 5, -1]
    assert [text.split(" takes ")[0] for text in vhost.broker.explanations] == [
        f"a search of '{ENDLESS}' for the pattern '{BAD}' of a policy",
        f"a search of '{ENDLESS}' for the pattern '{BAD}' of an operator policy",
    ]


def test_searches_that_take_long_are_done_in_pieces(vhost: VirtualHost) -> None:
    names = [f"{'a' * 60}{number}" for number in range(300)]
    declare(vhost, *names)
    for name in names:
        vhost.declare_exchange(name, "fanout", False, False, False, {})
    broker = broker_of(vhost)
    pieces, seen = 1, broker.matcher.long
    vhost.set_policy(policy(BAD))
    while len(broker.background):
        assert broker.matcher.long - seen <= 1 + SEARCHES // LONG_COST
        seen = broker.matcher.long
        broker.work()
        pieces += 1
    assert broker.matcher.long == 600
    assert pieces > 300


def test_what_takes_no_time_is_done_at_once(vhost: VirtualHost) -> None:
    declare(vhost, *map(str, range(50)))
    vhost.set_policy(policy("^.*$"))
    assert lengths(vhost) == {5}
    assert vhost.policy_application is None


def test_changes_meanwhile_are_one_more_pass(vhost: VirtualHost) -> None:
    declare(vhost, *map(str, range(1000)))
    for length in range(100):
        vhost.set_policy(policy("", length))
        assert len(vhost.broker.background) == 1
    declare(vhost, "late")
    before = vhost.broker.matcher.cost
    broker_of(vhost).finish()
    assert lengths(vhost) == {99}
    assert vhost.broker.matcher.cost - before < 5000
    assert vhost.policy_application is None
    assert vhost.delete_policy("p")
    broker_of(vhost).finish()
    assert lengths(vhost) == {-1}


def test_exchanges_and_queues_that_go_meanwhile_are_left_alone(vhost: VirtualHost) -> None:
    declare(vhost, *map(str, range(1000)))
    for number in range(1000):
        vhost.declare_exchange(str(number), "fanout", False, False, False, {})
    vhost.set_policy(policy(""))
    gone = vhost.exchanges["999"]
    vhost.remove_exchange(gone)
    vhost.remove_queue(vhost.queues["999"])
    broker_of(vhost).finish()
    assert gone.policy is None
    assert all(exchange.policy is not None for exchange in vhost.exchanges.values())


def test_one_name_takes_long_a_few_times_only(vhost: VirtualHost) -> None:
    for number in range(100):
        vhost.set_policy(policy(f"^(a|aa|{number})+$", name=f"p{number:02}"))
    vhost.set_policy(policy("", 7, "for the others", priority=-1))
    broker_of(vhost).finish()
    before = vhost.broker.matcher.long
    declare(vhost, ENDLESS)
    assert vhost.broker.matcher.long - before == LONG
    assert lengths(vhost) == {7}


@pytest.mark.parametrize("pattern", ["^[:alpha:]+$", "a" * 1025, "("])
def test_kept_patterns_that_are_refused_now_stop_no_start(vhost: VirtualHost, pattern: str) -> None:
    broker = broker_of(vhost)
    kept = policy("")
    permission = Permission(".*", ".*", ".*", broker.matcher)
    topic = TopicPermission(".*", ".*", broker.matcher)
    kept.pattern = permission.configure = topic.write = pattern  # as a version wrote it that took it
    rows = Kept()
    rows.definitions = {
        (form.DEFAULTS, form.key()): b"",
        (form.VHOST, form.key("v")): form.vhost_value("", (), "", False),
        (form.USER, form.key("u")): user_value(Credential("", ""), ()),
        (form.PERMISSION, form.key("u", "v")): permission_value(permission),
        (form.TOPIC_PERMISSION, form.key("u", "v", "x")): topic_permission_value(topic),
        (form.POLICY, definitions.policy_key("v", "p")): definitions.policy_value(kept),
        (form.OPERATOR_POLICY, definitions.policy_key("v", "p")): definitions.policy_value(kept),
        (form.POLICY, definitions.policy_key("v", "good")): definitions.policy_value(policy("", 7)),
    }
    recover_definitions(broker, MemoryLog(kept=rows))
    told = [entry.text for entry in broker.aside.entries()]
    assert len(told) == 4
    assert all("cannot be used and is set aside" in text for text in told)
    found = broker.vhosts["v"]
    declare(found, "a")
    assert lengths(found) == {7}
    restored = broker.users.user("u")
    assert not restored.may("configure", "queue", "a", "v")
    assert not restored.may_topic("write", "x", "a", "v", Patience())
    assert restored.may_topic("write", "another", "a", "v", Patience())
