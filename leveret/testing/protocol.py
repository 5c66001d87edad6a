"""EmbeddedProtocol: a client's protocol object that supports injected faults."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from leveret.auth.attempts import AMQP
from leveret.server.openings import OPENINGS
from leveret.server.transport import ClientProtocol, reset
from leveret.session.connection.connection import Connection
from leveret.wire.writer import HEARTBEAT

if TYPE_CHECKING:
    from leveret.testing.node import EmbeddedNode

TICK_S = 0.02  # between two pieces sent slowly
CUT_FRAME = HEARTBEAT[:3]


class ThrottledTransport(asyncio.Transport):
    """A transport that sends only a limited number of bytes, or sends slowly.

    left: bytes that are still sent, None for no limit; further bytes are discarded, and at_end() is called once.
    rate: bytes per second, None for no limit; with 0 everything waits until release().
    """

    def __init__(
        self,
        raw: asyncio.Transport,
        left: int | None,
        rate: float | None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._raw = raw
        self._left = left
        self._rate = rate
        self._at_end = at_end
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_over = False  # closed for writing, open for reading
        self._tick_s = TICK_S if not rate else max(TICK_S, 1 / rate)
        if left == 0:
            self._end()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data as far as the limits allow."""
        self._waiting += data
        if self._timer is None:
            self._send()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send data as far as the limits allow."""
        self.write(b"".join(list_of_data))

    @property
    def is_sending(self) -> bool:
        """Whether data is waiting."""
        return bool(self._waiting)

    def stop(self) -> None:
        """Stop sending, as the socket is closed."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _send(self) -> None:
        self._timer = None
        size = len(self._waiting)
        if self._rate == 0:
            return
        if self._rate is not None:
            size = min(size, int(self._rate * self._tick_s))
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            self._raw.write(data)
        if self._left == 0:
            self._waiting.clear()
            self._end()
        elif not self._waiting and (self._is_closed or self._is_over):
            self._finish()
        elif self._rate is not None and data:
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._send)

    def _end(self) -> None:
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            asyncio.get_running_loop().call_soon(at_end)

    def release(self) -> None:
        """Send all waiting data and hand over the socket."""
        waiting = bytes(self._waiting)
        self.stop()
        if not self._raw.is_closing():
            self._raw.write(waiting)
            self._finish()

    def _finish(self) -> None:
        if self._is_closed:
            self._raw.close()
        elif self._is_over:
            self._raw.write_eof()

    def close(self) -> None:
        """Close the socket after all waiting data is sent."""
        self._is_closed = True
        if not self._waiting:
            self._finish()

    def can_write_eof(self) -> bool:
        """See asyncio.Transport."""
        return self._raw.can_write_eof()

    def write_eof(self) -> None:
        """Close for writing after all waiting data is sent."""
        self._is_over = True
        if not self._waiting:
            self._finish()

    def get_write_buffer_size(self) -> int:
        """The number of waiting bytes."""
        return len(self._waiting) + self._raw.get_write_buffer_size()

    def abort(self) -> None:
        """Close the socket at once."""
        self.stop()
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether the transport is closing."""
        return self._is_closed or self._raw.is_closing()

    def pause_reading(self) -> None:
        """See asyncio.Transport."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio.Transport."""
        self._raw.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.Transport."""
        return self._raw.get_extra_info(name, default)


class EmbeddedProtocol(ClientProtocol):
    """The protocol object of one client of an embedded broker."""

    def __init__(self, node: EmbeddedNode) -> None:
        super().__init__(node.driver, node.logins(AMQP), OPENINGS)
        self._node = node
        self._raw: asyncio.Transport
        self.switches: Counter[str] = Counter()  # number of active requests for each switchable fault
        self._holds = 0

    @property
    def connection(self) -> Connection:
        """The AMQP 0-9-1 connection of the client."""
        assert isinstance(self.conversation, Connection)
        return self.conversation

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._raw = self.transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if isinstance(self.transport, ThrottledTransport):
            self.transport.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._node.bytes_read += len(data)
        super().data_received(data)

    @property
    def is_gone(self) -> bool:
        """Whether the socket is closed or closing."""
        return self._raw.is_closing()

    @property
    def is_sending(self) -> bool:
        """Whether there is data to send."""
        throttled = self.transport
        is_waiting = isinstance(throttled, ThrottledTransport) and throttled.is_sending
        return is_waiting or bool(self._unsent) or self._raw.get_write_buffer_size() > 0

    def throttle(self, left: int | None, rate: float | None, at_end: Callable[[], None] | None = None) -> None:
        """Limit the bytes, or the bytes per second, sent to the client; None for no limit."""
        if isinstance(self.transport, ThrottledTransport):
            self.transport.release()
            self.transport = self._raw
        if left is not None or rate is not None:
            self.transport = ThrottledTransport(self._raw, left, rate, at_end)

    def hold(self, is_held: bool) -> None:
        """Stop reading from the client, or resume when all holds are released."""
        self._holds += 1 if is_held else -1
        self.obey_pause()

    def obey_pause(self) -> None:
        """Pause or resume reading as usual, unless the client is held."""
        if not self._holds:
            super().obey_pause()
        elif self.is_reading:
            self.is_reading = False
            self._raw.pause_reading()

    def drop(self) -> None:
        """Close the socket without an AMQP handshake."""
        self._raw.close()

    def reset(self) -> None:
        """Reset the connection in the middle of a frame."""
        if self._raw.is_closing():
            return
        self._raw.write(CUT_FRAME)
        self._driver.protocols.pop(self.connection.number, None)
        self.connection.lost()
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._reset)  # after the frame was sent

    def _reset(self) -> None:
        reset(self._raw)
