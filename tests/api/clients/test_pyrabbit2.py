"""pyrabbit2, a client in Python: all that it can do, in an environment of its own."""

from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

from tests.api.clients import installed
from tests.api.place import Place

ALL = """
import sys

from pyrabbit2.api import Client
from pyrabbit2.http import HTTPError

client = Client(sys.argv[1], "guest", "guest")
vhost, user = "clients.pyrabbit2", "clients.pyrabbit2.user"
assert client.is_alive()
assert client.get_whoami()["name"] == "guest"
assert client.get_overview()["node"] in [node["name"] for node in client.get_nodes()]
client.create_vhost(vhost)
assert vhost in client.get_vhost_names() and client.get_vhost(vhost)["name"] == vhost
client.create_user(user, "secret", tags="monitoring")
assert user in [each["name"] for each in client.get_users()]
client.set_vhost_permissions(vhost, "guest", ".*", ".*", ".*")
client.set_vhost_permissions(vhost, user, "^a", "^b", "^c")
assert client.get_permission(vhost, user)["configure"] == "^a"
assert len(client.get_vhost_permissions(vhost)) == 2 and len(client.get_user_permissions(user)) == 1
assert client.get_permissions()
client.delete_permission(vhost, user)
assert client.create_exchange(vhost, "x", "topic", durable=True)
assert client.get_exchange(vhost, "x")["type"] == "topic"
assert "x" in [each["name"] for each in client.get_exchanges(vhost)] and client.get_exchanges()
client.create_queue(vhost, "q", durable=True, auto_delete=False, arguments={"x-max-length": 10})
client.create_queue(vhost, "other", durable=True)
assert client.get_queue(vhost, "q")["arguments"]["x-max-length"] == 10
assert [each["name"] for each in client.get_queues(vhost)] == ["other", "q"] and client.get_queues()
found = client.get_queues(vhost, pattern="^q", regex=True)
assert [each["name"] for each in (found["items"] if isinstance(found, dict) else found)] == ["q"], found
client.create_binding(vhost, "x", "q", "a.#", args={"k": 1})
assert "a.#" in [each["routing_key"] for each in client.get_queue_bindings(vhost, "q")]
assert client.get_bindings()
client.create_binding(vhost, "x", "other", "b")
client.delete_binding(vhost, "x", "other", "b")
assert client.publish(vhost, "x", "a.b", "hello", properties={"delivery_mode": 2})
assert not client.publish(vhost, "x", "nowhere", "hello")
assert client.get_queue_depth(vhost, "q") == 1
try:
    got = client.get_messages(vhost, "q", requeue=True)
except HTTPError as error:
    assert "ackmode" in str(error), error  # which RabbitMQ wants since 3.7, and this client does not send
else:
    assert got[0]["payload"] == "hello"
client.purge_queue(vhost, "q")
client.purge_queues([("q", vhost), ("other", vhost)])
assert client.get_queue_depth(vhost, "q") == 0
client.create_policy(vhost, "p", pattern="^q", definition={"max-length": 7}, **{"apply-to": "queues"})
assert client.get_policy(vhost, "p")["definition"] == {"max-length": 7} and client.get_all_policies()
client.delete_policy(vhost, "p")
assert client.get_connections() == [] and client.get_channels() == []
assert vhost in [each["name"] for each in client.get_definitions()["vhosts"]]
assert client.get_cluster_name()["name"] and client.get_extensions()
client.delete_queue(vhost, "q")
client.delete_exchange(vhost, "x")
client.delete_user(user)
client.delete_vhost(vhost)
try:
    client.get_vhost(vhost)
except HTTPError as error:
    assert error.status == 404
print("done")
"""


def test_all_it_can_do(place: Place) -> None:
    commands = installed.virtual_environment("pyrabbit2", "pyrabbit2")
    where = urlsplit(place.api).netloc
    done = subprocess.run([commands / "python", "-c", ALL, where], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "done", done.stderr
