"""Exact bytes, both ways, for the methods every client uses first."""

from __future__ import annotations

from collections.abc import Callable

from .peer import Peer, start_ok


def test_first_hello(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.start(start_ok())
    print(peer.link.read_frame())
