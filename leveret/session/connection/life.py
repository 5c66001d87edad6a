"""Life: the states of a connection, and the transitions between them.

    SHAKING    handshake, which has its own states (handshake.py)
    RUNNING    open
    SILENT     the input is invalid and ignored from here on; the socket is closed without a reply
    CLOSING    one side has sent connection.close; of further frames only the client's close and close-ok count
    DEAF       as CLOSING, but input is ignored: only a timeout ends this state
    ENDED      nothing more is read, and the socket ends as `ending` says (core/client/conversation.py)

From CLOSING on nothing of the client is in the core: every transition there first removes its channels, exclusive
queues and cached routes (Connection._leave).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.broker import Broker
from leveret.core.turn.states import StateTable
from leveret.session.base.carrier import Carrier

SHAKING: Final = 0
RUNNING: Final = 1
SILENT: Final = 2
CLOSING: Final = 3  # from here on the client is out of the core
DEAF: Final = 4
ENDED: Final = 5

OPENED: Final = 0  # the handshake is done
CLOSE_SENT: Final = 1  # the broker sends connection.close
CLOSE_CAME: Final = 2  # the client sends it
GARBLED: Final = 3  # the input is invalid
OVER: Final = 4  # the socket is gone, a close is answered, or a deadline has passed

STATES: Final = StateTable(
    "a connection",
    ("shaking hands", "running", "silent", "closing", "deaf", "ended"),
    ("the end of the handshake", "our connection.close", "its connection.close", "what makes no sense", "its end"),
    {
        SHAKING: {OPENED: RUNNING, CLOSE_SENT: CLOSING, GARBLED: SILENT, OVER: ENDED},
        RUNNING: {CLOSE_SENT: CLOSING, CLOSE_CAME: CLOSING, GARBLED: SILENT, OVER: ENDED},  # CLOSE_SENT follows at once
        SILENT: {CLOSE_SENT: DEAF, OVER: ENDED},
        CLOSING: {CLOSE_CAME: CLOSING, GARBLED: DEAF, OVER: ENDED},
        DEAF: {OVER: ENDED},
        ENDED: {},
    },
)


class Life(Carrier):
    """A connection, as its parts see it: handshake, heartbeat, deadline, publisher flow, blocking.

    peer: address of the client. version: of the broker, for connection.start. urgent: frames of channel 0 that, unlike
    replies, do not wait for the disk.
    """

    def __init__(self, broker: Broker, name: str, peer: str, version: str) -> None:
        super().__init__(broker, name)
        self.peer = peer
        self.version = version
        self.state: i64 = SHAKING
        self.heartbeat_s = 0
        self.urgent = b""
        # Not part of the state table: other objects turn these on and off at any time.
        self.is_in_flow = False  # paused by its queues, or until its login is checked
        self.is_blocked = False  # paused by an alarm

    @property
    def finished(self) -> bool:
        """Whether it has ended: the rest is sent, and the socket ends."""
        return self.state == ENDED

    def go(self, event: int) -> None:
        """Change the state. Raises: RuntimeError when the event cannot happen now."""
        self.state = STATES.follow(int(self.state), event)

    def send_urgent(self, frame: bytes) -> None:
        """Send a frame of channel 0 ahead of replies that wait for the disk."""
        self.urgent += frame
        self.wake()

    def set_in_flow(self, is_in_flow: bool) -> None:
        """Pause a publisher for its queues, or resume it."""
        self.is_in_flow = is_in_flow
        self.wake()

    @abstractmethod
    def tuned(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        """The client has answered connection.tune."""

    @abstractmethod
    def opened(self) -> None:
        """The handshake is complete."""
