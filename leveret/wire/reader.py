"""FrameReader: splits a stream of bytes into frames.

feed() adds input, next() moves to the next complete frame, rest() stores the remainder. Between calls the reader holds
only the incomplete tail of the stream, as a list of pieces: a frame that arrives over many reads is joined once, when
complete, so that the cost is linear in its size. Very many small pieces are joined earlier.

The reader knows only sizes and end markers. The session checks the order of frames.

A large body is a run of body frames: after expect_run() the reader does not split its frames. It appends the input
until the run has ended, and returns the whole run at once.
"""

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64, mypyc_attr

from leveret.wire.assembly import Assembly
from leveret.wire.constants import CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, SMALL_BODY_FRAME

FRAME_HEAD: Final = 7  # bytes before the payload: type 1, channel 2, size 4
HEADER_FIXED: Final = 14  # bytes of a content header's payload before the property values: 2, 2, 8, flags 2
MANY_PIECES: Final = 256  # of one frame; then they are joined
SHORT: Final = 8192  # bytes of a tail that is cheaper to read again than to copy
NO_RUN: Final = 0
IN_RUN: Final = 1  # body frames are expected
RUN_ENDED: Final = 2  # the run is the current frame


@mypyc_attr(native_class=False)
class FrameError(Exception):
    """The stream cannot be split into frames; the text is RabbitMQ's."""


def binary(data: bytes) -> str:
    """Bytes as Erlang prints them: as text if all are printable, else as numbers."""
    if data and all(32 <= octet < 127 for octet in data):
        return '<<"' + data.decode().replace("\\", "\\\\").replace('"', '\\"') + '">>'
    return f"<<{','.join([str(octet) for octet in data])}>>"


def octets(data: bytes) -> str:
    """The start of a payload, as in RabbitMQ's error texts."""
    return f"all octets = {binary(data)}" if len(data) <= 16 else f"first 16 octets = {binary(data[:16])}"


class FrameReader:
    """The stream of one connection.

    After next() returned True: `kind`, `channel`, and the payload at data[start:stop]; or, if is_run(), several body
    frames at once, which take_run() returns.
    frame_max: bytes of the largest frame allowed; 0 for no limit. waiting: bytes stored by rest() and put_by().
    """

    __slots__ = (
        "_frame_at",
        "_frame_left",
        "_missing",
        "_pieces",
        "_pos",
        "_run",
        "_run_head",
        "_run_left",
        "_run_size",
        "_run_state",
        "channel",
        "data",
        "frame_max",
        "kind",
        "start",
        "stop",
        "waiting",
    )

    def __init__(self, frame_max: int) -> None:
        self.frame_max: i64 = frame_max
        self.data = b""
        self.kind: i64 = 0
        self.channel: i64 = 0
        self.start: i64 = 0
        self.stop: i64 = 0
        self.waiting: i64 = 0
        self._pos: i64 = 0
        self._pieces: list[bytes] = []
        self._missing: i64 = 0  # bytes to come before the first frame of the pieces can be complete
        self._run_state: i64 = NO_RUN
        self._run: Assembly | None = None  # body frames, and the start of the next one
        self._run_head = b""  # precedes them
        self._run_size: i64 = 0  # bytes of the body in complete frames
        self._run_left: i64 = 0  # bytes of the body in frames not begun yet
        self._frame_at: i64 = 0  # offset of the last frame in the run
        self._frame_left: i64 = 0  # missing bytes of that frame, including the end octet

    def feed(self, data: bytes) -> None:
        """Add input."""
        if self._pieces:
            self._pieces.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                if len(self._pieces) >= MANY_PIECES:  # each has a memory overhead
                    self._pieces = [b"".join(self._pieces)]
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        self.data = data
        self._pos = 0

    def put_by(self, data: bytes) -> None:
        """Store input without reading it before the next feed()."""
        if not self._pieces:
            self.waiting = 0
        self._pieces.append(data)
        self._missing -= len(data)
        self.waiting += len(data)

    def skip(self, count: i64) -> bytes | None:
        """Take bytes that are not a frame; None when they have not all arrived."""
        if len(self.data) - self._pos < count:
            return None
        taken = self.data[self._pos : self._pos + count]
        self._pos += count
        return taken

    def next(self) -> bool:
        """Move to the next complete frame.

        Returns: False when it has not arrived yet.
        Raises: FrameError for a frame that is too large or does not end with the end octet.
        """
        if self._run_state != NO_RUN:
            if self._run_state == RUN_ENDED:
                self._run_state = NO_RUN
            elif not self._collect():
                return False
            elif self._run_state == RUN_ENDED:
                return True
        data = self.data
        pos = self._pos
        have: i64 = len(data) - pos
        if have < FRAME_HEAD:
            return False
        size: i64 = i64(read_i32_be(data, pos + 3)) & 0xFFFFFFFF
        if self.frame_max and size > self.frame_max:  # allows 8 bytes too many, as rabbit_reader.erl does
            raise FrameError(f"type {data[pos]}, all octets = <<>>: {{frame_too_large,{size},{self.frame_max - 8}}}")
        start = pos + FRAME_HEAD
        stop = start + size
        if stop >= len(data):
            return False
        if data[stop] != FRAME_END:
            payload = octets(data[start:stop])
            raise FrameError(f"type {data[pos]}, {payload}: {{invalid_frame_end_marker,{data[stop]}}}")
        self.kind = i64(data[pos])
        self.channel = i64(read_i16_be(data, pos + 1)) & 0xFFFF
        self.start = start
        self.stop = stop
        self._pos = stop + 1
        return True

    def expect_run(self, size: i64, head: bytes) -> None:
        """Expect a body of size bytes on the current channel. head: precedes it in take_run()."""
        self._run_state = IN_RUN
        self._run = None
        self._run_head = head
        self._run_size = 0
        self._run_left = size
        self._frame_left = 0

    def run_due(self) -> i64:
        """The minimum of bytes missing from the current run; 0 without one."""
        return self._run_left + self._frame_left if self._run_state == IN_RUN else 0

    def is_run(self) -> bool:
        """Whether the current frame is a run."""
        return self._run_state == RUN_ENDED

    def run_size(self) -> i64:
        """The bytes of the body in the run."""
        return self._run_size

    def take_run(self) -> bytes:
        """The head of the run, and its frames with their envelopes."""
        run, self._run = self._run, None
        self._run_head = b""
        return run.take() if run is not None else b""

    def _collect(self) -> bool:
        """Add input to the run.

        Returns: whether it has ended, since the body is complete or another frame follows; False for an empty run.
        Raises: FrameError.
        """
        data = self.data
        end: i64 = len(data)
        first = self._pos
        pos: i64 = first
        has_ended = False
        while True:
            if self._frame_left > end - pos:
                self._frame_left -= end - pos
                pos = end
                break
            if self._frame_left:
                pos += self._frame_left
                self._frame_left = 0
                if data[pos - 1] != FRAME_END:
                    raise self._wrong_end(data[first:pos])
            if not self._run_left:
                has_ended = True
                break
            if end - pos < FRAME_HEAD:
                break
            size: i64 = i64(read_i32_be(data, pos + 3)) & 0xFFFFFFFF
            if (
                data[pos] != FRAME_BODY
                or i64(read_i16_be(data, pos + 1)) & 0xFFFF != self.channel
                or size > self._run_left
                or (size < SMALL_BODY_FRAME and size != self._run_left)
                or (self.frame_max and size > self.frame_max)
            ):
                has_ended = True
                break
            run = self._run
            if run is None:  # assume frames as large as the first one
                frames = (self._run_left + size - 1) // size
                run = self._run = Assembly(len(self._run_head) + self._run_left + frames * (FRAME_HEAD + 1))
                run.add(self._run_head)
            self._frame_at = run.size + pos - first
            self._frame_left = FRAME_HEAD + size + 1
            self._run_left -= size
            self._run_size += size
        run = self._run
        if run is not None and pos > first:
            run.add(data[first:pos])
            self._pos = pos
        if has_ended:
            self._run_state = NO_RUN if run is None else RUN_ENDED
            self.kind = FRAME_BODY
            self.start = self.stop = pos
        return has_ended

    def _wrong_end(self, last: bytes) -> FrameError:
        """The error of a frame in a run. last: the end of that frame."""
        frame = (self.take_run() + last)[self._frame_at :]
        return FrameError(f"type {frame[0]}, {octets(frame[FRAME_HEAD:-1])}: {{invalid_frame_end_marker,{frame[-1]}}}")

    def rest(self) -> None:
        """Store the incomplete tail and drop everything else; called when next() has returned False."""
        data = self.data
        pos = self._pos
        if pos < len(data):
            tail = data[pos:] if pos else data
            have: i64 = len(tail)
            self.waiting = have
            size: i64 = i64(read_i32_be(tail, 3)) & 0xFFFFFFFF if have >= FRAME_HEAD else 0
            self._pieces.append(tail)
            self._missing = FRAME_HEAD + size + 1 - have
        self.data = b""
        self._pos = 0

    def take_back(self) -> i64:
        """Drop the incomplete tail, if it is short: the caller feeds it again, together with the following bytes.

        Returns: its size. Joining the two here would copy the following bytes.
        """
        if len(self._pieces) != 1 or len(self._pieces[0]) > SHORT:
            return 0
        size: i64 = len(self._pieces[0])
        self._pieces.clear()
        self._missing = 0
        self.waiting = 0
        return size

    def keep(self, count: i64) -> None:
        """Store everything until at least count bytes have arrived: for the protocol header."""
        if not self.data:
            return
        self._pieces.append(self.data)
        self._missing = count - len(self.data)
        self.data = b""

    def payload(self) -> bytes:
        """The payload of the current frame."""
        return self.data[self.start : self.stop]

    def frame(self) -> bytes:
        """The current frame with its envelope."""
        return self.data[self.start - FRAME_HEAD : self.stop + 1]

    def whole_content(self) -> bytes | None:
        """The content that follows the current frame, if all of it has arrived and it is regular.

        A body in small frames is not regular: it is better stored in large ones.

        Returns: the header frame and the body frames unchanged, and moves behind them; otherwise None without moving:
        the caller must then take the frames one by one.
        """
        data = self.data
        end: i64 = len(data)
        first = self._pos
        if end - first < FRAME_HEAD + HEADER_FIXED + 1:
            return None
        channel = self.channel
        size: i64 = i64(read_i32_be(data, first + 3)) & 0xFFFFFFFF
        pos: i64 = first + size + FRAME_HEAD + 1
        if (
            pos > end
            or data[first] != FRAME_HEADER
            or i64(read_i16_be(data, first + 1)) & 0xFFFF != channel
            or size < HEADER_FIXED
            or read_i32_be(data, first + FRAME_HEAD) != CLASS_BASIC << 16  # class and weight
            or data[pos - 1] != FRAME_END
        ):
            return None
        left: i64 = read_i64_be(data, first + FRAME_HEAD + 4)
        if left < 0 or left > end - pos or (self.frame_max and size > self.frame_max):
            return None
        while left:
            if end - pos < FRAME_HEAD + 1 or data[pos] != FRAME_BODY:
                return None
            if i64(read_i16_be(data, pos + 1)) & 0xFFFF != channel:
                return None
            size = i64(read_i32_be(data, pos + 3)) & 0xFFFFFFFF
            if size != left and (size > left or size < SMALL_BODY_FRAME):
                return None
            if self.frame_max and size > self.frame_max:
                return None
            pos += size + FRAME_HEAD + 1
            if pos > end or data[pos - 1] != FRAME_END:
                return None
            left -= size
        self._pos = pos
        return data[first:pos]
