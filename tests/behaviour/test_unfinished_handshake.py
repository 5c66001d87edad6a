"""The limit of ten seconds for the whole handshake; named to run late, when little is left to wait for."""

from __future__ import annotations

import time

from tests.clients.methods import ConnectionStart
from tests.clients.peer import SOON, Peer


def test_unfinished_handshakes_are_cut_off_after_ten_seconds(loiterer: Peer) -> None:
    loiterer.expect(ConnectionStart)
    loiterer.link.expect_end(max(SOON, loiterer.link.opened + 12 + SOON - time.monotonic()))
