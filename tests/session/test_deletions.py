"""What is deleted stays deleted, whatever interrupts the deletion, and whatever earlier versions forgot to delete."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core import definitions
from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.clearing import AT_ONCE
from leveret.core.definition import form
from leveret.core.definition.form import DEDUPLICATION, PARAMETER
from leveret.core.errors.administration import InvalidError, Promise
from leveret.core.exchange.exchange import Binding
from leveret.core.policy.policy import Policy
from leveret.management.administration import Administration
from leveret.wire.fields import boolean, long, longstr, table_bytes
from leveret.wire.methods import ExchangeDeclare, ExchangeDelete, QueueBind, QueueDeclare, QueueUnbind
from leveret.wire.properties import BasicProperties
from tests.brokers.life import Life

MANY = 3 * AT_ONCE
OF_A_NEW_BROKER = [("permission", '["guest", "/"]'), ("user", '["guest"]'), ("vhost", '["/"]')]


def policy(name: str = "short") -> Policy:
    """One that would drop all messages."""
    return Policy(name, "", {"max-length": 0}, 0, "all")


def furnish(broker: Broker) -> None:
    """A virtual host with everything that can be said about one, but for queues and exchanges."""
    broker.add_vhost("v", "a description", ("x",), "quorum")
    broker.users.put("u", Credential("", ""))
    broker.users.set_permission("u", "v", "", "", "")
    broker.users.set_topic_permission("u", "v", "amq.topic", "", "")
    broker.set_vhost_limits("v", {"max-queues": MANY})
    vhost = broker.vhosts["v"]
    vhost.set_policy(policy())
    vhost.set_operator_policy(policy())
    broker.parameters.put("v", "shovel", "s", "1")


def after(life: Life, is_killed: bool) -> Life:
    """The next life, after the end of this one."""
    if is_killed:
        return Life(life.kill(), 6_000)
    life.end()
    return Life(life.directory, 6_000)


def kept(directory: Path) -> list[tuple[str, str]]:
    """What is in the log of a broker that has ended."""
    life = Life(directory, 9_000)
    found = sorted((kind, key) for kind, key, _ in life.log.load() if kind not in ("clock", form.DEFAULTS))
    life.end()
    return found


def bindings_to(life: Life, queue: str) -> list[Binding]:
    """What leads to a queue of the virtual host /."""
    vhost = life.broker.vhosts["/"]
    return vhost.bindings_to(vhost.queues[queue])


@pytest.mark.parametrize("is_killed", [False, True])
def test_nothing_of_a_virtual_host_stays(tmp_path: Path, is_killed: bool) -> None:
    life = Life(tmp_path / "data", 5_000)
    furnish(life.broker)
    life.broker.delete_vhost("v")
    life.finish()
    life = after(life, is_killed)
    assert life.told == []
    assert list(life.broker.vhosts) == ["/"]
    vhost = life.broker.add_vhost("v")
    assert (vhost.policies.all, vhost.operator_policies.all, vhost.limits) == ({}, {}, {})
    life.broker.delete_vhost("v")
    life.broker.users.delete("u")
    life.end()
    assert kept(life.directory) == OF_A_NEW_BROKER


@pytest.mark.parametrize("steps", range(MANY // AT_ONCE + 2))
def test_a_deletion_that_is_interrupted_goes_on(tmp_path: Path, steps: int) -> None:
    life = Life(tmp_path / "data", 5_000)
    furnish(life.broker)
    vhost = life.broker.vhosts["v"]
    vhost.delete_policy("short")  # which would drop the message
    vhost.delete_operator_policy("short")
    vhost.declare_exchange("x", "fanout", True, False, False, {})
    for number in range(MANY):
        queue = vhost.make_queue(f"q{number}", True, 0, False, {})
        vhost.bind(Binding(vhost.exchanges["x"], queue, None, "", {}))
    properties = BasicProperties()
    properties.delivery_mode = 2
    life.publish("v", "x", properties)
    assert [len(queue.ready) for queue in vhost.queues.values()] == [1] * MANY
    life.broker.delete_vhost("v")
    for _ in range(steps):
        life.step()
    life = after(life, True)
    if not steps:  # nothing was written yet
        assert [len(queue.ready) for queue in life.broker.vhosts["v"].queues.values()] == [1] * MANY
        life.broker.delete_vhost("v")
        life.finish()
    assert list(life.broker.vhosts) == ["/"]
    assert (life.told, life.broker.queues(), life.broker.leaving) == ([], [], {})
    life.broker.users.delete("u")
    life.end()
    assert kept(life.directory) == OF_A_NEW_BROKER


def test_one_made_anew_while_the_old_one_is_cleared(tmp_path: Path) -> None:
    life = Life(tmp_path / "data", 5_000)
    furnish(life.broker)
    for number in range(MANY):
        life.broker.vhosts["v"].make_queue(f"q{number}", True, 0, False, {})
    life.finish()
    clearing = life.broker.delete_vhost("v")
    assert not clearing.is_done
    vhost = life.broker.add_vhost("v", "another")
    assert clearing.is_done
    vhost.make_queue("q0", True, 0, False, {})
    life.finish()
    life = after(life, True)
    vhost = life.broker.vhosts["v"]
    assert (list(vhost.queues), vhost.description, vhost.policies.all) == (["q0"], "another", {})
    life.end()


def test_a_verb_that_makes_it_anew_waits_until_nothing_is_left(tmp_path: Path) -> None:
    life = Life(tmp_path / "data", 5_000)
    vhost = life.broker.add_vhost("v")
    for number in range(MANY):
        vhost.make_queue(f"q{number}", True, 0, False, {})
    life.finish()
    administration = Administration(life.broker)
    administration.perform("delete_vhost", {"name": "v"})
    addition = administration.perform("add_vhost", {"name": "v"})
    assert isinstance(addition, Promise)
    assert not addition.is_done()
    assert vhost.queues  # they go in pieces
    life.finish()
    assert addition.is_done()
    addition.result()
    assert life.broker.vhosts["v"] is not vhost
    with pytest.raises(InvalidError, match="exists"):
        addition.result()
    life.end()


# -- topic permissions end with their exchange, as in RabbitMQ


@pytest.mark.parametrize("auto_delete", [False, True])
def test_topic_permissions_end_with_their_exchange(tmp_path: Path, auto_delete: bool) -> None:
    life = Life(tmp_path, 5_000)
    users = life.broker.users
    users.put("u", Credential("", ""))
    life.call("/", ExchangeDeclare("t", "topic", durable=True, auto_delete=auto_delete))
    users.set_topic_permission("u", "/", "t", "a", "a")
    users.set_topic_permission("u", "/", "amq.topic", "b", "b")
    life.call("/", QueueDeclare("q"))
    life.call("/", QueueBind("q", "t"))
    life.call("/", QueueUnbind("q", "t") if auto_delete else ExchangeDelete("t"))
    assert list(users.user("u").topic_permissions["/"]) == ["amq.topic"]
    life.end()
    life = Life(tmp_path, 6_000)
    assert list(life.broker.users.user("u").topic_permissions["/"]) == ["amq.topic"]
    life.end()


# -- what earlier versions and damage have left


def test_leftovers_do_not_come_back_with_the_next_of_their_name(tmp_path: Path) -> None:
    life = Life(tmp_path, 5_000)
    life.call("/", QueueDeclare("here", durable=True))
    life.broker.users.put("u", Credential("", ""))
    text = longstr("")
    patterns = table_bytes({"configure": text, "write": text, "read": text})
    leftovers = {
        (form.POLICY, form.key("gone", "p")): definitions.policy_value(policy()),
        (form.OPERATOR_POLICY, form.key("gone", "p")): definitions.policy_value(policy()),
        (form.VHOST_LIMIT, form.key("gone")): form.limits_value({"max-queues": 0}),
        (PARAMETER, form.key("gone", "c", "n")): b"1",
        (form.TOPIC_PERMISSION, form.key("u", "gone", "amq.topic")): patterns,
        (form.PERMISSION, form.key("nobody", "/")): patterns,
        (form.TOPIC_PERMISSION, form.key("nobody", "/", "amq.topic")): patterns,
        (form.USER_LIMIT, form.key("nobody")): form.limits_value({"max-channels": 0}),
        (form.BINDING, form.key("/", "amq.topic", "queue", "gone", "k", "")): b"",
        (form.BINDING, form.key("/", "gone", "queue", "here", "k", "")): b"",
        (DEDUPLICATION, form.key("/", "gone", "0")): b"",
    }
    for (kind, key), value in leftovers.items():
        life.log.put(kind, key, value)
    life.log.put(form.BINDING, form.key("/", "amq.topic", "queue", "here", "k", ""), b"")
    life.end()
    life = Life(tmp_path, 6_000)
    assert list(life.broker.vhosts) == ["/"]
    told = " ".join(life.told)
    for kind, _ in leftovers:
        assert f"the definition of {kind} " in told
    assert len(bindings_to(life, "here")) == 1
    life.broker.add_vhost("gone")
    life.broker.users.put("nobody", Credential("", ""))
    life.end()
    life = Life(tmp_path, 7_000)
    assert "forgotten" not in " ".join(life.told)
    assert life.broker.vhosts["gone"].policies.all == {}
    nobody = life.broker.users.user("nobody")
    assert (nobody.permissions, nobody.topic_permissions, nobody.limits) == ({}, {}, {})
    life.end()


def test_a_lost_virtual_host_is_made_anew_if_somebody_may_enter_it(tmp_path: Path) -> None:
    life = Life(tmp_path, 5_000)
    life.broker.add_vhost("v")
    life.broker.users.put("u", Credential("", ""))
    life.broker.users.set_permission("u", "v", "", "", "")
    life.broker.vhosts["v"].set_policy(policy())
    life.log.delete(form.VHOST, form.key("v"))
    life.end()
    life = Life(tmp_path, 6_000)
    assert "the definition of virtual host 'v' is lost; it is created again" in life.told
    assert list(life.broker.vhosts["v"].policies.all) == ["short"]
    life.broker.users.delete("u")
    life.end()


# -- depth: what is accepted can be read again, and what was accepted once as well


def stored(life: Life, name: str, levels: int) -> None:
    """A queue, an exchange and a binding whose argument has so many levels, as a definitions file could have it."""
    inner = longstr("x").value
    assert isinstance(inner, bytes)
    raw = b"S" + len(inner).to_bytes(4, "big") + inner
    for level in range(levels):
        pair = raw if level % 2 else b"\x01k" + raw
        raw = (b"A" if level % 2 else b"F") + len(pair).to_bytes(4, "big") + pair
    pair = b"\x01d" + raw
    arguments = b"\x09arguments" + b"F" + len(pair).to_bytes(4, "big") + pair
    other = {"auto_delete": boolean(False)}
    queue = {**other, "id": long(1)}
    exchange = {**other, "internal": boolean(False), "type": longstr("direct")}
    life.log.put(form.QUEUE, form.key("/", name), table_bytes(queue) + arguments)
    life.log.put(form.EXCHANGE, form.key("/", name), table_bytes(exchange) + arguments)
    life.log.put(form.BINDING, form.key("/", name, "queue", name, "k", pair.hex()), b"")


@pytest.mark.parametrize("levels", [1, 128, 129, 150])
def test_what_was_stored_is_read_however_deep(tmp_path: Path, levels: int) -> None:
    life = Life(tmp_path, 5_000)
    stored(life, "deep", levels)
    life.end()
    life = Life(tmp_path, 6_000)
    assert life.told == []
    vhost = life.broker.vhosts["/"]
    (binding,) = bindings_to(life, "deep")
    assert binding.source is vhost.exchanges["deep"]
    assert binding.arguments == vhost.queues["deep"].arguments == vhost.exchanges["deep"].arguments
    vhost.unbind(binding)
    vhost.delete_queue("deep", False, False, 0)
    life.end()
    life = Life(tmp_path, 7_000)
    assert list(life.broker.vhosts["/"].queues) == []
    life.end()


def test_floats_that_are_no_numbers(tmp_path: Path) -> None:
    """Earlier versions took them; what was stored with one can be found again, and be deleted."""
    life = Life(tmp_path, 5_000)
    life.call("/", QueueDeclare("q", durable=True))
    nan = bytes.fromhex("0164" + "64" + "7ff8000000000000")
    key = form.key("/", "amq.topic", "queue", "q", "k", nan.hex())
    life.log.put(form.BINDING, key, b"")
    life.end()
    life = Life(tmp_path, 6_000)
    (binding,) = bindings_to(life, "q")
    again = form.read_table(nan)
    same = type(binding)(binding.source, binding.queue, None, "k", again)
    assert same == binding
    life.broker.vhosts["/"].unbind(same)
    life.end()
    life = Life(tmp_path, 7_000)
    assert bindings_to(life, "q") == []
    life.end()
