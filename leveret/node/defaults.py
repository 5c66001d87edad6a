"""What a broker begins with when nothing was declared yet: the virtual host / and the user guest."""

from __future__ import annotations

from leveret.auth.passwords import salted
from leveret.core.broker import Broker

DEFAULT_USER = "guest"  # and its password


def make_defaults(broker: Broker) -> None:
    """Make them unless that was done once before. Everybody knows the password, so a cheap hash will do."""
    if broker.is_new:
        broker.make_defaults(DEFAULT_USER, salted(DEFAULT_USER))
