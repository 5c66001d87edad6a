"""Users, virtual hosts, permissions and limits of the broker under test, made for a test and taken away after it.

RabbitMQ is spoken to through its HTTP API: LEVERET_TEST_MANAGEMENT says where, by default 10000 above the port of
LEVERET_TEST_URL. Leveret is spoken to through its control socket: LEVERET_TEST_CONTROL says where when the tests did
not start the broker.
"""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

PASSWORD = "secret"
"""Of every user that a test makes."""


class RefusedError(Exception):
    """The broker does not do this; it says why."""


class Administration:
    """The verbs that tests need; each is in effect when it returns."""

    def __init__(self) -> None:
        self._users: list[str] = []
        self._vhosts: list[str] = []

    # -- what the two brokers do each in its own way

    def make_user(self, name: str, tags: str) -> None:
        """Make a user."""
        raise NotImplementedError

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        raise NotImplementedError

    def remove_user(self, name: str) -> None:
        """Delete a user."""
        raise NotImplementedError

    def make_vhost(self, name: str, default_queue_type: str) -> None:
        """Make a virtual host."""
        raise NotImplementedError

    def remove_vhost(self, name: str) -> None:
        """Delete a virtual host."""
        raise NotImplementedError

    def permit(self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """Set the permissions of a user."""
        raise NotImplementedError

    def forbid(self, user: str, vhost: str) -> None:
        """Clear the permissions of a user."""
        raise NotImplementedError

    def permit_topic(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Set a topic permission of a user."""
        raise NotImplementedError

    def forget_topic(self, user: str, vhost: str) -> None:
        """Clear the topic permissions of a user."""
        raise NotImplementedError

    def limit_user(self, user: str, limit: str, value: int) -> None:
        """Set a limit of a user."""
        raise NotImplementedError

    def limit_vhost(self, vhost: str, limit: str, value: int) -> None:
        """Set a limit of a virtual host."""
        raise NotImplementedError

    def trace(self, vhost: str, on: bool) -> None:
        """Switch the firehose of a virtual host."""
        raise NotImplementedError

    def set_policy(self, vhost: str, name: str, policy: dict[str, Any], operator: bool = False) -> None:
        """Set a policy or operator policy: pattern, definition, priority, apply-to. Raises: RefusedError."""
        raise NotImplementedError

    def clear_policy(self, vhost: str, name: str, operator: bool = False) -> None:
        """Delete a policy or operator policy."""
        raise NotImplementedError

    # -- what is taken away afterwards

    def add_user(self, name: str, tags: str = "") -> str:
        """Make a user until the end."""
        self.make_user(name, tags)
        self._users.append(name)
        return name

    def delete_user(self, name: str) -> None:
        """Delete a user before the end."""
        self._users.remove(name)
        self.remove_user(name)

    def add_vhost(self, name: str, default_queue_type: str = "") -> str:
        """Make a virtual host until the end; guest may do everything in it."""
        self.make_vhost(name, default_queue_type)
        self._vhosts.append(name)
        self.permit("guest", name)
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host before the end."""
        self._vhosts.remove(name)
        self.remove_vhost(name)

    def clear(self) -> None:
        """Delete what is still there."""
        for vhost in list(self._vhosts):
            self.delete_vhost(vhost)
        for user in list(self._users):
            self.delete_user(user)


class ManagementApi(Administration):
    """RabbitMQ's HTTP API. url: up to the port, without a path."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def make_user(self, name: str, tags: str) -> None:
        """PUT /users."""
        self._call("PUT", ["users", name], {"password": PASSWORD, "tags": tags})

    def change_password(self, name: str, password: str) -> None:
        """PUT /users."""
        self._call("PUT", ["users", name], {"password": password, "tags": ""})

    def remove_user(self, name: str) -> None:
        """DELETE /users."""
        self._call("DELETE", ["users", name])

    def make_vhost(self, name: str, default_queue_type: str) -> None:
        """PUT /vhosts."""
        self._call("PUT", ["vhosts", name], {"default_queue_type": default_queue_type or "classic"})

    def remove_vhost(self, name: str) -> None:
        """DELETE /vhosts."""
        self._call("DELETE", ["vhosts", name])

    def permit(self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """PUT /permissions."""
        self._call("PUT", ["permissions", vhost, user], {"configure": configure, "write": write, "read": read})

    def forbid(self, user: str, vhost: str) -> None:
        """DELETE /permissions."""
        self._call("DELETE", ["permissions", vhost, user])

    def permit_topic(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """PUT /topic-permissions."""
        self._call("PUT", ["topic-permissions", vhost, user], {"exchange": exchange, "write": write, "read": read})

    def forget_topic(self, user: str, vhost: str) -> None:
        """DELETE /topic-permissions."""
        self._call("DELETE", ["topic-permissions", vhost, user])

    def limit_user(self, user: str, limit: str, value: int) -> None:
        """PUT /user-limits."""
        self._call("PUT", ["user-limits", user, limit], {"value": value})

    def limit_vhost(self, vhost: str, limit: str, value: int) -> None:
        """PUT /vhost-limits."""
        self._call("PUT", ["vhost-limits", vhost, limit], {"value": value})

    def trace(self, vhost: str, on: bool) -> None:
        """PUT /vhosts."""
        self._call("PUT", ["vhosts", vhost], {"tracing": on})

    def set_policy(self, vhost: str, name: str, policy: dict[str, Any], operator: bool = False) -> None:
        """PUT /policies, /operator-policies."""
        self._call("PUT", ["operator-policies" if operator else "policies", vhost, name], policy)

    def clear_policy(self, vhost: str, name: str, operator: bool = False) -> None:
        """DELETE /policies, /operator-policies."""
        self._call("DELETE", ["operator-policies" if operator else "policies", vhost, name])

    def set_parameter(self, vhost: str, component: str, name: str, value: dict[str, Any]) -> None:
        """PUT /parameters: of plugins."""
        self._call("PUT", ["parameters", component, vhost, name], {"value": value})

    def clear_parameter(self, vhost: str, component: str, name: str) -> None:
        """DELETE /parameters."""
        self._call("DELETE", ["parameters", component, vhost, name])

    def get(self, *path: str) -> Any:
        """GET of anything."""
        return json.loads(self._call("GET", list(path)))

    def _call(self, verb: str, path: list[str], body: dict[str, Any] | None = None) -> bytes:
        request = urllib.request.Request(
            f"{self._url}/api/{'/'.join(quote(part, '') for part in path)}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"},
            method=verb,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise RefusedError(json.load(error)["reason"]) from None


class ControlSocket(Administration):
    """Leveret's control socket. path: where it is."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_user(self, name: str, tags: str) -> None:
        """add_user."""
        self._call("add_user", name=name, password=PASSWORD, tags=tags)

    def change_password(self, name: str, password: str) -> None:
        """change_password."""
        self._call("change_password", name=name, password=password)

    def remove_user(self, name: str) -> None:
        """delete_user."""
        self._call("delete_user", name=name)

    def make_vhost(self, name: str, default_queue_type: str) -> None:
        """add_vhost."""
        self._call("add_vhost", name=name, default_queue_type=default_queue_type)

    def remove_vhost(self, name: str) -> None:
        """delete_vhost."""
        self._call("delete_vhost", name=name)

    def permit(self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """set_permissions."""
        self._call("set_permissions", user=user, vhost=vhost, configure=configure, write=write, read=read)

    def forbid(self, user: str, vhost: str) -> None:
        """clear_permissions."""
        self._call("clear_permissions", user=user, vhost=vhost)

    def permit_topic(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """set_topic_permissions."""
        self._call("set_topic_permissions", user=user, vhost=vhost, exchange=exchange, write=write, read=read)

    def forget_topic(self, user: str, vhost: str) -> None:
        """clear_topic_permissions."""
        self._call("clear_topic_permissions", user=user, vhost=vhost)

    def limit_user(self, user: str, limit: str, value: int) -> None:
        """set_user_limits."""
        self._call("set_user_limits", user=user, limits={limit: value})

    def limit_vhost(self, vhost: str, limit: str, value: int) -> None:
        """set_vhost_limits."""
        self._call("set_vhost_limits", vhost=vhost, limits={limit: value})

    def trace(self, vhost: str, on: bool) -> None:
        """trace_vhost."""
        self._call("trace_vhost", name=vhost, on=on)

    def set_policy(self, vhost: str, name: str, policy: dict[str, Any], operator: bool = False) -> None:
        """set_policy, set_operator_policy."""
        arguments = {key.replace("-", "_"): value for key, value in policy.items()}
        self._call("set_operator_policy" if operator else "set_policy", vhost=vhost, name=name, **arguments)

    def clear_policy(self, vhost: str, name: str, operator: bool = False) -> None:
        """clear_policy, clear_operator_policy."""
        self._call("clear_operator_policy" if operator else "clear_policy", vhost=vhost, name=name)

    def _call(self, verb: str, **arguments: Any) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(self._path)
            control.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            with control.makefile() as lines:
                answer = json.loads(lines.readline())
        if "error" in answer:
            raise RefusedError(answer["error"])
