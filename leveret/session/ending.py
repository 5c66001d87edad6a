"""Endings: what becomes of the socket of a connection that is finished. The transport carries it out."""

from __future__ import annotations

from typing import Final

HANG_UP: Final = 0  # the client has the last word of the broker in peace: what it still sends is read and thrown away
LEAVE: Final = 1  # the same, but the client is the one to close the socket, which it is given a moment for
CLOSE: Final = 2  # nobody waits for anything
RESET: Final = 3  # the client has not answered: what it sends next has to fail, not to vanish
