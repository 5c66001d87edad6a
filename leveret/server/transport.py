"""ClientProtocol: one socket and its conversation. Passes bytes in and out, with backpressure in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, cast

from leveret.auth.authenticator import Authenticator, ClientGone, LoginRefused, TooBusy
from leveret.core.access.user import User
from leveret.core.client.conversation import CLOSE, LEAVE, RESET, Conversation, LoginRequest, Opening, chosen
from leveret.server.driver import Driver
from leveret.wire.content import Piece

if TYPE_CHECKING:
    from leveret.server.guests import Guest

LINGER_S = 5.0  # how long a client may take to read the last output, and to close its socket
GRACE_S = 0.3  # how long to wait after a client's connection.close for it to close its socket
NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
STUCK_LOOKS = 3  # consecutive checks without progress until a client is stuck
NOTICED_MS = 50  # a shorter wait before AMQP does not count
SOME = 4 * 1024  # bytes in one read; more may have to wait for a later turn
SLICE = 32 * 1024  # bytes handled between checks of the clock
MUCH = 64 * 1024  # bytes in one read; then other clients come first
BULK = 1024 * 1024  # the same for a large body, which costs little more than a copy; over several reads
WRITE_HIGH = 512 * 1024  # bytes in the socket's buffer; above that its consumers get no more messages
BURST = 1024 * 1024  # bytes sent before other clients come first

HANGUP = getattr(select, "POLLRDHUP", select.POLLHUP)  # reported even if there is unread input, where supported

log = logging.getLogger("leveret.connection")


def _unread(transport: asyncio.BaseTransport) -> bytes:
    """TLS input that was not passed on because reading was paused; uvloop drops it when the connection ends."""
    data = b""
    tls = transport.get_extra_info("ssl_object")
    if tls is not None:
        with contextlib.suppress(OSError):  # no more input, or cut off
            while piece := tls.read(SLICE):
                data += piece
    return data


def _on_its_way(transport: asyncio.Transport) -> int:
    """Bytes in the kernel's send buffer that the client has not acknowledged; 0 where the system does not report it."""
    raw = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, ImportError, AttributeError):
        from fcntl import ioctl
        from termios import TIOCOUTQ

        return int.from_bytes(ioctl(raw.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


def reset(transport: asyncio.Transport) -> None:
    """Abort a connection with a reset, so that the client notices."""
    raw = transport.get_extra_info("socket")
    if raw is not None and not transport.is_closing() and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


class ClientProtocol(asyncio.Protocol):
    """The asyncio protocol of one client.

    conversation: with the client; of the first of `openings`, until its first bytes select another one.
    name: of a client that did not connect to a port.
    """

    transport: asyncio.Transport
    conversation: Conversation

    def __init__(
        self, driver: Driver, authenticator: Authenticator, openings: list[Opening], name: str = "unknown"
    ) -> None:
        self._name = name
        self._driver = driver
        self._authenticator = authenticator
        self._openings = openings
        self._first: bytes | None = b"" if len(openings) > 1 else None  # input before the protocol is known
        self.guest: Guest | None = None  # for a client of a port
        self.is_reading = True
        self._has_enough = False  # do not read before the next flush
        self._bulk = 0  # bytes of large bodies read since the last flush
        self._put_by = b""  # deferred input, to be handled from _at on
        self._at = 0
        self._is_put_off = False  # whether the driver will call catch_up()
        self._unsent: deque[Piece] = deque()  # output for later turns; meanwhile the connection adds nothing
        self._is_full = False  # whether the socket's buffer is full
        self._given = 0  # total bytes passed to the transport
        self._gone = 0  # bytes received by the client at the last check
        self._stuck_looks = 0
        self._linger: asyncio.TimerHandle | None = None  # set after the last output
        self._grace: asyncio.TimerHandle | None = None
        self._login: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._driver.refresh_clock()
        self._converse(self._openings[0])
        self.obey_pause()
        self._driver.turn()

    def _converse(self, opening: Opening) -> None:
        """Begin a conversation."""
        guest = self.guest
        name, host = (self._name, "") if guest is None else (guest.name, guest.host)
        self.conversation = opening.begin(self._driver.broker, name, host)
        self._driver.protocols[self.conversation.number] = self
        if guest is not None and guest.age_ms >= NOTICED_MS:
            self.conversation.has_waited(guest.age_ms)

    def _choose(self, data: bytes) -> bytes:
        """Detect the client's protocol. Returns: the input to handle now."""
        assert self._first is not None
        self._first += data
        opening = chosen(self._openings, self._first)
        if opening is None:
            return b""
        data, self._first = self._first, None
        if opening is not self._openings[0]:
            before = self.conversation
            del self._driver.protocols[before.number]
            self._converse(opening)
            try:
                before.lost()
            except Exception as error:
                before.fail("end", error)
        return data

    def data_received(self, data: bytes) -> None:
        """Handle input from the client."""
        if self.conversation.finished:
            return  # read and discard, to avoid a reset while the client sends
        self._driver.refresh_clock()
        if self._first is not None:
            data = self._choose(data)
        if self._put_by:
            self._put_by = self._put_by[self._at :] + data
            self._at = 0
        elif len(data) >= SOME and not self._driver.may_read():
            self._put_off(data, 0)
        else:
            self._receive(data, 0)
        if len(data) >= MUCH:
            self._bulk += len(data)
            if self._bulk >= BULK or not self.conversation.due():
                self._has_enough = True
                self.conversation.wake()  # to be flushed, and read again
        self.obey_pause()  # now: before the flush the loop might read a ready socket many times
        self._driver.turn()

    def catch_up(self) -> None:
        """Handle some deferred input, unless the conversation is paused."""
        self._is_put_off = False
        if self._put_by and not self.conversation.is_paused:
            data, self._put_by = self._put_by, b""
            self._receive(data, self._at)
            self.conversation.wake()

    def _put_off(self, data: bytes, at: int) -> None:
        """Defer the rest of the input, and stop reading until then."""
        self._put_by = data
        self._at = at
        self._has_enough = True
        if not self._is_put_off:
            self._is_put_off = True
            self._driver.put_off(self)

    def _receive(self, data: bytes, at: int) -> None:
        """Handle input in slices; defer the rest when the turn's time is used up."""
        conversation = self.conversation
        while len(data) - at > SLICE and (end := at + max(SLICE, conversation.due())) < len(data):
            self._take(data[at:end])
            at = end - conversation.take_back()
            if conversation.is_paused or not self._driver.may_read():
                self._put_off(data, at)
                return
        self._take(data[at:])  # no copy if at is 0

    def _take(self, data: bytes) -> None:
        try:
            self.conversation.receive(data)
            if self.conversation.login_request is not None:
                self._log_in()
        except Exception as error:
            self.conversation.fail("handle its input", error)

    def fail(self, doing: str, error: Exception) -> None:
        """Work for this client has failed: close the connection, or abort it if that fails too."""
        conversation = self.conversation
        if conversation.has_failed or conversation.finished:
            self._driver.broker.faults.tell(f"connection {conversation.name}", doing, error)
            self.abort()
        else:
            conversation.not_flushed()
            conversation.fail(doing, error)
            self._driver.turn()

    def eof_received(self) -> bool:
        """The client sends no more; asyncio closes the socket."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        for timer in (self._linger, self._grace):
            if timer is not None:
                timer.cancel()
        self._driver.refresh_clock()
        self._driver.protocols.pop(self.conversation.number, None)
        guest, self.guest = self.guest, None
        if guest is not None:
            guest.gone()
        if self._login is not None:
            self._login.cancel()
        self._unsent.clear()
        data, self._put_by = self._put_by[self._at :], b""
        if not self.is_reading:
            data += _unread(self.transport)
        if data:
            self._take(data)
        self.conversation.lost()
        self._driver.turn()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._is_full = True
        self.conversation.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        self._is_full = False
        if self._unsent:
            self.conversation.wake()
        else:
            self.conversation.resume_writing()
        self._driver.turn()

    def flush(self) -> None:
        """Send the connection's output, and apply its requests to pause or end."""
        conversation = self.conversation
        if conversation.finished and (self._linger is not None or conversation.ending == RESET):
            self._end()
            return
        data = conversation.data_to_send()
        size = sum(map(len, data))
        if self._unsent or size > BURST:
            self._unsent += data
            self._send_some()
        elif data:
            self._given += size
            self.transport.writelines(data)
        if conversation.finished:
            self._end()
            return
        conversation.flushed()
        if self._put_by and not conversation.is_paused:
            self._put_off(self._put_by, self._at)
        self._has_enough = bool(self._put_by)
        self._bulk = 0
        self.obey_pause()

    def _send_some(self) -> None:
        """Send up to BURST bytes, and the rest in later turns; everything if the conversation has finished."""
        conversation = self.conversation
        left = sys.maxsize if conversation.finished else 0 if self._is_full else BURST
        burst: list[Piece] = []
        while left > 0 and self._unsent:
            piece = self._unsent.popleft()
            if len(piece) > left:
                whole = memoryview(piece)
                piece = whole[:left]
                self._unsent.appendleft(whole[left:])
            left -= len(piece)
            burst.append(piece)
        if burst:
            self._given += sum(map(len, burst))
            self.transport.writelines(burst)
        if self._unsent:
            conversation.pause_writing()
            if not self._is_full:
                conversation.wake()
        elif not self._is_full:
            conversation.resume_writing()

    def _end(self) -> None:
        """End the socket after the last output.

        Closing it with unread input would reset it and lose output on its way to the client. So it is read until the
        client closes it too, for at most LINGER_S.
        """
        if self._linger is not None or self.transport.is_closing():
            return
        ending = self.conversation.ending
        if ending == RESET:
            reset(self.transport)
            return
        self._put_by = b""
        self._has_enough = False
        self.obey_pause()
        later = self._driver.loop.call_later
        if ending == CLOSE:
            self.transport.close()
        elif ending == LEAVE:
            self._grace = later(GRACE_S, self._say_no_more)
        else:
            self._say_no_more()
        self._linger = later(LINGER_S, self._stop_waiting)

    def _say_no_more(self) -> None:
        """Signal the end of output. With TLS this closes both directions, so a client that leaves gets more time."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        elif self.conversation.ending != LEAVE:
            self.transport.close()

    def _stop_waiting(self) -> None:
        """Stop waiting for the client; unread output is lost."""
        if self.transport.is_closing() or self.transport.can_write_eof():
            self.transport.abort()
        else:
            self.transport.close()
            self._linger = self._driver.loop.call_later(LINGER_S, self.transport.abort)

    @property
    def is_through(self) -> bool:
        """Whether all output has been sent, and no more will follow."""
        return self._linger is not None and self.transport.get_write_buffer_size() == 0

    def look_at_progress(self) -> bool:
        """Check whether the client has accepted output since the last check. Returns: whether it is stuck."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self._stuck_looks = 0
            return False
        gone = self._given - waiting - _on_its_way(self.transport)
        self._stuck_looks = self._stuck_looks + 1 if gone <= self._gone else 0
        self._gone = gone
        return self._stuck_looks >= STUCK_LOOKS

    def abort(self) -> None:
        """Abort the connection."""
        self.transport.abort()

    def obey_pause(self) -> None:
        """Resume or pause reading, as the conversation and the driver require."""
        is_paused = self._has_enough or self.conversation.is_paused or self._driver.is_frozen
        if is_paused == self.is_reading:
            self.is_reading = not is_paused
            if self.is_reading:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _log_in(self) -> None:
        """Handle the login request, at once if possible."""
        conversation = self.conversation
        request = conversation.login_request
        assert request is not None
        conversation.login_request = None
        try:
            user = self._authenticator.authenticate_now(request.user, request.password, request.peer)
        except LoginRefused as error:
            conversation.refuse(str(error))
            return
        if user is None:
            conversation.set_in_flow(True)  # its input waits in the kernel
            self._login = self._driver.loop.create_task(self._log_in_later(request))
        else:
            self._let_in(user)

    async def _log_in_later(self, request: LoginRequest) -> None:
        driver = self._driver
        conversation = self.conversation
        try:
            user = await self._authenticator.authenticate(request.user, request.password, request.peer, self._is_gone)
        except LoginRefused as error:
            self._resume()
            conversation.refuse(str(error))
        except (TooBusy, ClientGone) as error:
            level = logging.WARNING if isinstance(error, TooBusy) else logging.INFO
            log.log(level, "connection %s: login not checked: %s", conversation.name, error)
            self.abort()
        except Exception:
            log.exception("connection %s: login failed", conversation.name)
            self._resume()
            conversation.refuse("internal error")
        else:
            self._resume()
            self._let_in(user)
        driver.turn()

    def _let_in(self, user: User) -> None:
        """The client has logged in."""
        if self.guest is not None and not self.transport.is_closing():
            self.guest.let_in()
        self.conversation.login(user)

    def _is_gone(self) -> bool:
        """Whether the client has closed its socket; the event loop does not report this while reading is paused."""
        raw = self.transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return True
        looking = select.poll()
        looking.register(raw.fileno(), HANGUP)
        return bool(looking.poll(0))

    def _resume(self) -> None:
        self._driver.refresh_clock()
        self.conversation.set_in_flow(False)
        self.obey_pause()
