"""Patterns that are slow to search: in policies over thousands of names, and in permissions of who tries many names."""

from __future__ import annotations

from tests.clients.administration import PASSWORD
from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    QueueDeclare,
    QueueDelete,
)
from tests.clients.methods_basic import BasicPublish
from tests.clients.peer import Peer, plain, start_ok

from .conftest import Target

COUNT = 2000
FRAME_MAX = 4096
PATTERNS = [
    "^(a|aa)+$",
    "(a|aa)+$",
    "^(a+)+$",
    r"^(\w+\.?)+-retry$",
    r"^([a-z]+[.-]?)*retry$",
    r"(?:(?!" + r"\B" * 300 + r"Z)(?:a|aa))+$",  # each step is a long one
]
NAMES = [f"{'a' * 100}y-retr{number}" for number in range(COUNT)]


def test_policies_over_thousands_of_queues(target: Target) -> None:
    administration = target.administration

    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        for name in NAMES:
            channel.send(QueueDeclare(queue=name, nowait=True))
        channel.queue()
        for number, pattern in enumerate(PATTERNS):
            for operator in (False, True):
                policy = {"pattern": pattern, "definition": {"max-length": 5}}
                administration.set_policy("/", f"slow-{number}", policy, operator)
        for number in range(len(PATTERNS)):
            for operator in (False, True):
                administration.clear_policy("/", f"slow-{number}", operator)
        for name in NAMES:
            channel.send(QueueDelete(queue=name, nowait=True))
        channel.queue()
        peer.link.close()

    target.withstand(attack, rounds=2)


def test_many_names_for_a_slow_permission(target: Target) -> None:
    user = target.administration.add_user("slow-names")
    declares = b"".join(
        ChannelOpen().frames(1, FRAME_MAX)
        + QueueDeclare(queue=name).frames(1, FRAME_MAX)
        + ChannelCloseOk().frames(1, FRAME_MAX)
        for name in NAMES
    )

    def attack(target: Target) -> None:
        for pattern in PATTERNS[:5]:
            target.administration.permit(user, "/", pattern, "", "")
            peer = Peer(target.address).login(start_ok(response=plain(user, PASSWORD)))
            peer.link.send_bytes(declares)
            refused = 0
            while refused < COUNT:
                answer = peer.link.read_frame()
                refused += answer.payload[:4] == ChannelClose().payload()[:4]
            peer.link.close()

    target.withstand(attack, rounds=2)
    target.administration.delete_user(user)


def test_many_routing_keys_for_a_slow_topic_permission(target: Target) -> None:
    user = target.administration.add_user("slow-keys")
    target.administration.permit(user, "/")
    publishes = b"".join(
        BasicPublish(exchange="amq.topic", routing_key=f"{'a' * 13}!{number}").frames(1, FRAME_MAX)
        for number in range(COUNT)
    )

    def attack(target: Target) -> None:
        for pattern in PATTERNS[:2]:
            target.administration.permit_topic(user, "/", "amq.topic", f"{pattern}|!", ".*")
            peer = Peer(target.address).login(start_ok(response=plain(user, PASSWORD)))
            channel = peer.channel()
            peer.link.send_bytes(publishes)
            channel.call(QueueDeclare(exclusive=True))
            peer.link.close()

    target.withstand(attack, rounds=2)
    target.administration.delete_user(user)
