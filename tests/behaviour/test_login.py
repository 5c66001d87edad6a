"""Logins: accepted, refused with a close, and the mistakes that are answered by silence only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.clients.codec import BODY, METHOD, encode_table, frame
from tests.clients.methods import (
    ChannelOpen,
    ConnectionClose,
    ConnectionOpen,
    ConnectionSecureOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from tests.clients.peer import Peer, amqplain, plain, start_ok

ACCEPTED = {
    "PLAIN": start_ok(),
    "AMQPLAIN": start_ok("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="guest")),
    "AMQPLAIN in another order": start_ok("AMQPLAIN", amqplain(PASSWORD="guest", more="x", LOGIN="guest")),
    "locale is not checked": ConnectionStartOk(mechanism="PLAIN", response=plain(), locale="xx"),
    "no client properties": ConnectionStartOk(mechanism="PLAIN", response=plain()),
    "odd client properties": start_ok(product=None, version=5, nested={"list": [1, "x", {"y": None}]}),
    "large client properties": start_ok(filler="x" * 7000),
}

REFUSED = {
    "wrong password": start_ok(response=plain("guest", "wrong")),
    "unknown user": start_ok(response=plain("behaviour-nobody", "guest")),
    "blank password": start_ok(response=plain("guest", "")),
    "AMQPLAIN": start_ok("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="wrong")),
}


def said_instead(data: bytes) -> Callable[[Peer], object]:
    """Return a step that sends something else than start-ok after connection.start."""

    def step(peer: Peer) -> None:
        peer.start()
        peer.link.send_bytes(data)

    return step


def open_before_tune_ok(peer: Peer) -> None:
    """Skip connection.tune-ok."""
    peer.start(start_ok())
    peer.expect(ConnectionTune)
    peer.send(ConnectionOpen(virtual_host="/"))


def answered(answer: ConnectionStartOk) -> Callable[[Peer], object]:
    """Return a step that answers connection.start."""
    return lambda peer: peer.start(answer)


SILENT: dict[str, Callable[[Peer], object]] = {
    "wrong password, capability absent": answered(start_ok(response=plain("guest", "x"), capabilities={})),
    "wrong password, capability false": answered(
        start_ok(response=plain("guest", "x"), capabilities={"authentication_failure_close": False})
    ),
    "unknown mechanism": answered(start_ok("BEHAVIOUR")),
    "mechanism in small letters": answered(start_ok("plain")),
    "PLAIN without NUL": answered(start_ok(response=b"guestguest")),
    "PLAIN with one NUL": answered(start_ok(response=b"guest\0guest")),
    "PLAIN with three NUL": answered(start_ok(response=b"\0guest\0guest\0")),
    "PLAIN with another authzid": answered(start_ok(response=b"other\0guest\0guest")),
    "AMQPLAIN without LOGIN": answered(start_ok("AMQPLAIN", amqplain(PASSWORD="guest"))),
    "AMQPLAIN that is no table": answered(start_ok("AMQPLAIN", b"guest")),
    "AMQPLAIN with the length of the table": answered(
        start_ok("AMQPLAIN", encode_table({"LOGIN": "guest", "PASSWORD": "guest"}))
    ),
    "secure-ok instead of start-ok": said_instead(ConnectionSecureOk().frames(0, 0)),
    "tune-ok instead of start-ok": said_instead(ConnectionTuneOk().frames(0, 0)),
    "close instead of start-ok": said_instead(ConnectionClose(reply_code=200).frames(0, 0)),
    "channel.open instead of start-ok": said_instead(ChannelOpen().frames(0, 0)),
    "start-ok on channel 1": said_instead(start_ok().frames(1, 0)),
    "start-ok cut short": said_instead(frame(METHOD, 0, b"\x00\x0a\x00\x0b")),
    "body instead of start-ok": said_instead(frame(BODY, 0, b"x")),
    "start-ok larger than 8192 bytes": answered(start_ok(filler="x" * 9000)),
    "open instead of tune-ok": open_before_tune_ok,
}


@pytest.fixture(scope="module")
def silenced(amqp_address: tuple[str, int]) -> Iterator[dict[str, Peer]]:
    """Connections that each made one mistake, all at once, so that the 3 s of silence are waited for once."""
    peers = {label: Peer(amqp_address) for label in SILENT}
    for label, mistake in SILENT.items():
        mistake(peers[label])
    yield peers
    for peer in peers.values():
        peer.link.close()


@pytest.mark.parametrize("mistake", SILENT)
def test_mistakes_answered_by_silence(silenced: dict[str, Peer], mistake: str) -> None:
    silenced[mistake].link.expect_end(9)


@pytest.mark.parametrize("login", ACCEPTED)
def test_accepted(dial: Callable[[], Peer], login: str) -> None:
    peer = dial()
    peer.start(ACCEPTED[login])
    peer.expect(ConnectionTune)


@pytest.mark.parametrize("login", REFUSED)
def test_refused(dial: Callable[[], Peer], login: str) -> None:
    peer = dial()
    answer = REFUSED[login]
    peer.start(answer)
    peer.expect_closed(
        403,
        f"Login was refused using authentication mechanism {answer.mechanism}. For details see the broker logfile.",
    )
