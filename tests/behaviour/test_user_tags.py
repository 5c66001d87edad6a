"""Tags of users: impersonator counts at a publish, all others for administration only."""

from __future__ import annotations

import os

import pytest

from tests.clients.administration import PASSWORD, Administration
from tests.clients.codec import Properties
from tests.clients.methods import ConnectionOpen, QueueDeclare
from tests.clients.methods_basic import BasicAck, BasicPublish
from tests.clients.peer import Peer, plain, start_ok

VHOST = f"behaviour-tags-{os.getpid():x}"


@pytest.fixture(scope="module", autouse=True)
def vhost(administration: Administration) -> None:
    """A virtual host without users."""
    administration.add_vhost(VHOST)


def user(administration: Administration, tags: str) -> str:
    """Return a user with these tags."""
    return administration.add_user(f"behaviour-{tags}-{os.getpid():x}", tags)


@pytest.mark.parametrize(
    ("tags", "allowed"), [("impersonator", True), ("management,impersonator", True), ("administrator", False)]
)
def test_who_may_write_another_user_id(
    amqp_address: tuple[str, int], administration: Administration, tags: str, allowed: bool
) -> None:
    name = user(administration, tags)
    administration.permit(name, VHOST)
    peer = Peer(amqp_address).login(start_ok(response=plain(name, PASSWORD)), vhost=VHOST)
    channel = peer.channel()
    queue = channel.queue()
    channel.confirm()
    publish = BasicPublish(routing_key=queue, properties=Properties(user_id="somebody"))
    if allowed:
        channel.send(publish)
        channel.expect(BasicAck)
        assert channel.get(queue).properties.user_id == "somebody"
    else:
        text = f"user_id property set to 'somebody' but authenticated user was '{name}'"
        channel.expect_refused(publish, 406, text)
    peer.close()


@pytest.mark.parametrize("tags", ["monitoring", "policymaker", "administrator,management"])
def test_tags_give_no_access(amqp_address: tuple[str, int], administration: Administration, tags: str) -> None:
    name = user(administration, tags)
    peer = Peer(amqp_address)
    peer.negotiate(start_ok(response=plain(name, PASSWORD)))
    peer.send(ConnectionOpen(virtual_host=VHOST))
    peer.expect_closed(530, f"access to vhost '{VHOST}' refused for user '{name}'", by=ConnectionOpen)
    administration.permit(name, VHOST, "", "", "")
    peer = Peer(amqp_address).login(start_ok(response=plain(name, PASSWORD)), vhost=VHOST)
    text = f"configure access to queue 'q' in vhost '{VHOST}' refused for user '{name}'"
    peer.channel().expect_refused(QueueDeclare(queue="q"), 403, text)
    peer.close()
