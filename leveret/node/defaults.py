"""What a broker begins with when nothing was declared yet: the virtual host / and the user guest."""

from __future__ import annotations

from leveret.auth.passwords import salted
from leveret.core.broker import Broker

DEFAULT_VHOST = "/"
DEFAULT_USER = "guest"  # and its password


def make_defaults(broker: Broker) -> bool:
    """Make them unless that was done once before. Returns: whether they were made now."""
    if not broker.is_new:
        return False
    broker.make_defaults(DEFAULT_USER, salted(DEFAULT_USER))  # everybody knows this password: a cheap hash will do
    return True


def drop_defaults(broker: Broker, definitions: dict[str, object]) -> None:
    """Take them away again where a definitions file brings its own: an import at the first start stands for them.

    RabbitMQ makes none as soon as there is a file; here one without users or virtual hosts leaves them be.
    Source: rabbit.erl maybe_insert_default_data.
    """
    if _brings_others(definitions.get("users"), DEFAULT_USER) and broker.users.get(DEFAULT_USER) is not None:
        broker.users.delete(DEFAULT_USER)
    if _brings_others(definitions.get("vhosts"), DEFAULT_VHOST) and DEFAULT_VHOST in broker.vhosts:
        broker.delete_vhost(DEFAULT_VHOST)


def _brings_others(entries: object, name: str) -> bool:
    return isinstance(entries, list) and bool(entries) and name not in [entry["name"] for entry in entries]
