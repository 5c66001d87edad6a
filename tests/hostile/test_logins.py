"""Too many who have not logged in: wrong passwords, long names, clients that never say who they are."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leveret.auth.passwords import ARGON2, argon2
from tests.brokers.process import Server
from tests.clients.codec import PROTOCOL_HEADER
from tests.clients.methods import ConnectionClose, ConnectionStart, ConnectionTune
from tests.clients.peer import Peer, plain, start_ok
from tests.clients.waiting import PATIENCE, eventually

QUICK_S = 30.0
"""Seconds for a login beside an attack, on a machine however busy; unhurried checks of it would take minutes."""


@dataclass
class House:
    """A broker with users whose passwords are slow to check."""

    server: Server
    log_file: Path

    def knock(self, host: str, data: bytes = b"") -> socket.socket:
        """A socket of a client from this address, which has sent something."""
        client = socket.create_connection((self.server.host, self.server.port), PATIENCE, (host, 0))
        client.sendall(data)
        return client

    def log_in(self, user: str, password: str, host: str) -> bool:
        """Whether a login succeeds."""
        peer = Peer((self.server.host, self.server.port))
        peer.link.socket = self.knock(host, PROTOCOL_HEADER)
        peer.expect(ConnectionStart)
        peer.send(start_ok(response=plain(user, password)))
        answer = peer.next(60)
        peer.link.socket.close()
        return isinstance(answer, ConnectionTune)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """With the users slow and other."""
    log_file = tmp_path / "log"
    credential = {"algorithm": ARGON2, "hash": argon2("secret").hash}
    users: list[dict[str, object]] = [
        {"name": name, "leveret_credential": credential, "tags": []} for name in ("slow", "other", "guest")
    ]
    definitions = tmp_path / "definitions.json"
    definitions.write_text(json.dumps({"users": users}))
    server = Server.start("--host", "0.0.0.0", "--memory", "--definitions", str(definitions), log=log_file)
    server.host = "127.0.0.1"
    yield House(server, log_file)
    assert server.stop() == 0
    assert "Traceback" not in log_file.read_text()


def attempt(user: str, number: int) -> bytes:
    """A wrong password, with all that goes before it."""
    return PROTOCOL_HEADER + start_ok(response=plain(user, f"wrong{number}")).frames(0, 8192)


@pytest.mark.parametrize("how", ["one address", "many addresses", "many names"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["closed at once", "kept open"])
def test_wrong_passwords_do_not_lock_others_out(house: House, how: str, is_kept: bool) -> None:
    stopped = threading.Event()
    attempts = 0

    def attack() -> None:
        nonlocal attempts
        kept: list[socket.socket] = []
        while not stopped.is_set():
            attempts += 1
            host = "127.0.0.2" if how == "one address" else f"127.0.{attempts // 200 % 5 + 1}.{attempts % 200 + 2}"
            user = f"nobody{attempts}" if how == "many names" else "slow"
            with contextlib.suppress(OSError):
                client = house.knock(host, attempt(user, attempts))
                kept.append(client)
                if not is_kept:
                    kept.pop().close()
            if len(kept) > 300:
                kept.pop(0).close()
            time.sleep(0.002)
        for client in kept:
            client.close()

    assert house.log_in("slow", "secret", "127.0.99.2")
    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        time.sleep(2)
        before = attempts
        began = time.monotonic()
        assert house.log_in("other", "secret", "127.0.99.1")  # which nobody has computed yet
        assert time.monotonic() - began < QUICK_S
        began = time.monotonic()
        assert house.log_in("slow", "secret", "127.0.99.2")  # whom all attack
        assert time.monotonic() - began < QUICK_S
        assert house.log_in("guest", "secret", "127.0.99.3")
        assert attempts > before
    finally:
        stopped.set()
        attacker.join()
    assert not house.log_in("other", "wrong", "127.0.99.4")


def test_who_was_refused_and_says_nothing_does_not_stay(house: House) -> None:
    peer = Peer((house.server.host, house.server.port))
    peer.start(start_ok(response=plain("slow", "wrong")))
    assert peer.expect(ConnectionClose).reply_code == 403
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        peer.link.socket.recv(10)
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "make",
    [
        lambda number: PROTOCOL_HEADER + start_ok(response=b"\0" + b"\xff" * 7000 + b"\0x").frames(0, 8192),
        lambda number: PROTOCOL_HEADER + start_ok(response=b"\xff" * 7000).frames(0, 8192),
        lambda number: PROTOCOL_HEADER + start_ok(mechanism="\udcff" * 255).frames(0, 8192),
        lambda number: b"\xff" * 8,
        lambda number: PROTOCOL_HEADER + b"\xff" * 4096,
    ],
    ids=["user", "response", "mechanism", "header", "frame"],
)
def test_strangers_do_not_fill_the_log(house: House, make: Callable[[int], bytes]) -> None:
    count = 1000
    for number in range(count):
        client = house.knock(f"127.0.{number // 200 + 1}.{number % 200 + 2}", make(number))
        client.close()
    house.log_in("guest", "secret", "127.0.99.1")  # all before have been looked at
    time.sleep(0.5)
    written = house.log_file.read_bytes()
    assert len(written) < 400_000
    assert max(map(len, written.splitlines()), default=0) < 2000


def test_a_log_tells_what_it_has_left_out(house: House) -> None:
    for number in range(400):
        house.knock("127.0.0.2", PROTOCOL_HEADER + start_ok(mechanism=f"m{number}").frames(0, 8192)).close()
    said = " more entries like 'connection ...: handshake failed: ...' were left out in 10 s"
    eventually(lambda: said in house.log_file.read_text(), 30)
    assert 100 <= house.log_file.read_text().count("unknown authentication mechanism") <= 250
