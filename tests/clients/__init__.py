"""Clients for tests of several folders.

`peer.py` speaks AMQP over a socket, frame by frame. It has a codec of its own (`codec.py`, `method.py`, `methods.py`,
`methods_basic.py`, `link.py`) and imports nothing of the broker, so that the two cannot be wrong in the same way; nor
does `administration.py`, which makes users and virtual hosts in whatever broker is tested.

`socketless.py` is a client made of bytes, for a broker in this process. `command_line.py` runs commands, `programs.py`
scripts. `ledger.py` knows what clients have published and got, and `strategies.py` what they may send.
"""

import pytest

CHECKING = ("command_line", "ledger", "link", "peer", "programs", "socketless")
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in CHECKING))
