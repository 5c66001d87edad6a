"""Error texts that stand elsewhere than in leveret/core/errors/refusals.py, for docs/errors.md.

Each is looked up in the source, so that the page has the text that clients get.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

from leveret.wire.constants import REPLY_NAMES, SOFT_CODES

ROOT = Path(__file__).resolve().parent.parent
THREADS = "Use each channel in one thread only. If you do, report it to the authors of the client library."
LIBRARY = "Report it to the authors of the client library."
NOT_AMQP = "Check that a client of AMQP 0-9-1 connects to this port, and that nothing between changes the bytes."
TUNING = "Leave the limits of the connection at the defaults of the client, or set lower ones."
MODE = "Use a channel of its own for confirms, and one for transactions."
NO_IMMEDIATE = "Publish without `immediate`. A TTL of 0 drops the message if no consumer waits, but does not return it."


@dataclass(frozen=True)
class Told:
    """An error text. start: how it begins in the file; inner: the same for a part that it names TEXT.

    is_soft: whether it closes only the channel; None if the code decides.
    """

    code: int
    file: str
    start: str
    when: str
    advice: str
    inner: str = ""
    is_soft: bool | None = None

    @property
    def scope(self) -> str:
        """What is closed."""
        is_soft = self.code in SOFT_CODES if self.is_soft is None else self.is_soft
        return "channel" if is_soft else "connection"

    @property
    def text(self) -> str:
        """The text that the client receives, with words in capitals for names."""
        if not self.start:
            return REPLY_NAMES[self.code]
        text = _find(self.file, self.start)
        if self.inner:
            text = text.replace("TEXT", _find(self.file, self.inner), 1)
        return f"{REPLY_NAMES[self.code]} - {text}"


CHANNEL, CONSUMING, PUBLISHING = "session/channel.py", "session/consume/consuming.py", "session/publish/publishing.py"
CONNECTION, HANDSHAKE = "session/connection/connection.py", "session/connection/handshake.py"
PUBLISHER, RECEIVER = "core/client/publisher.py", "core/client/receiver.py"

TOLD = (
    Told(
        320,
        "node/node.py",
        "broker forced connection closure with",
        "The broker stops.",
        "Connect again when it runs. Most clients can do that by themselves.",
    ),
    Told(
        320,
        "api/views/clients.py",
        "Closed via management plugin",
        "An administrator closed the connection. The text is the reason that the administrator gave, or this one.",
        "Ask the administrator. Connect again if that is allowed.",
    ),
    Told(
        320,
        "core/access/users.py",
        "user 'NAME' is deleted",
        "An administrator deleted the user.",
        "Log in as another user.",
    ),
    Told(
        403,
        HANDSHAKE,
        "TEXT For details",
        "The user does not exist, the password is wrong, or the user may log in from the broker's machine only "
        "(by default, `guest`).",
        "Check user and password, or add a user. "
        "[Troubleshooting](troubleshooting.md#access_refused-at-login) shows how.",
        inner="Login was refused using",
        is_soft=False,
    ),
    Told(
        406,
        PUBLISHER,
        "message size SIZE is larger",
        "The body of a message is too large.",
        "Send smaller messages, or raise [`max-message-size`](settings.md#max-message-size).",
    ),
    Told(
        406,
        "session/consume/ack_timeout.py",
        "delivery acknowledgement on channel",
        "A consumer did not acknowledge a delivery in time. The message returns to its queue.",
        "Acknowledge sooner, lower the prefetch count, or raise "
        "[`consumer-timeout-ms`](settings.md#consumer-timeout-ms) or the queue's `x-consumer-timeout`.",
    ),
    Told(
        406,
        PUBLISHER,
        "invalid expiration",
        "The property `expiration` of a message is not a number of milliseconds.",
        "Give a whole number as a string, for example `60000`.",
    ),
    Told(
        406,
        PUBLISHER,
        "user_id property set",
        "The property `user_id` of a message names another user.",
        "Leave `user_id` out, or set it to the user who logged in.",
    ),
    Told(
        406,
        PUBLISHER,
        "fast reply consumer",
        "A message has `amq.rabbitmq.reply-to` as `reply_to`, but its channel does not consume from there.",
        "Consume from `amq.rabbitmq.reply-to` first, on the same channel and with `no_ack`.",
    ),
    Told(
        406,
        RECEIVER,
        "reply consumer cannot acknowledge",
        "A consumer of `amq.rabbitmq.reply-to` wants to acknowledge.",
        "Consume with `no_ack`.",
    ),
    Told(
        406,
        CHANNEL,
        "cannot switch from tx to confirm",
        "confirm.select on a channel with transactions.",
        MODE,
    ),
    Told(
        406,
        CHANNEL,
        "cannot switch from confirm to tx",
        "tx.select on a channel with confirms.",
        MODE,
    ),
    Told(
        406,
        CHANNEL,
        "channel is not transactional",
        "tx.commit or tx.rollback without tx.select.",
        "Select transactions on the channel first.",
    ),
    Told(
        406,
        "core/client/transaction.py",
        "the messages of a transaction",
        "A transaction has become too large.",
        "Commit more often, or raise [`memory-budget`](settings.md#memory-budget).",
    ),
    Told(
        501,
        CONNECTION,
        "type KIND, PAYLOAD: unknown_frame",
        "The bytes are no frame of AMQP 0-9-1.",
        NOT_AMQP,
    ),
    Told(
        501,
        "wire/reader.py",
        "type DATA, all octets",
        "A frame is larger than the size that client and broker agreed on.",
        LIBRARY,
    ),
    Told(
        501,
        "session/base/carrier.py",
        "cannot decode",
        "The arguments of a method, or a table in them, cannot be decoded.",
        LIBRARY,
    ),
    Told(
        501,
        PUBLISHING,
        "content body size",
        "A message body is larger than any limit of the broker.",
        "Send smaller messages.",
    ),
    Told(
        502,
        HANDSHAKE,
        "response does not contain a null",
        "The login of a client has another form than the mechanism PLAIN requires.",
        LIBRARY,
    ),
    Told(
        503,
        HANDSHAKE,
        "unknown authentication mechanism",
        "The client wants to log in with a mechanism that the broker does not have, for example EXTERNAL.",
        "Choose PLAIN or AMQPLAIN.",
    ),
    Told(
        503,
        CHANNEL,
        "unimplemented method",
        "The broker does not know this method of AMQP.",
        LIBRARY,
    ),
    Told(
        504,
        CONNECTION,
        "expected 'channel.open'",
        "The client used a channel that is not open, often one that an error has closed.",
        "Open a new channel after an error. Look in the log for the error that closed the old one.",
    ),
    Told(
        504,
        CHANNEL,
        "second 'channel.open'",
        "The client opened a channel that is open.",
        THREADS,
    ),
    Told(
        505,
        PUBLISHING,
        "expected content header for class 60, got non",
        "Another frame came between the parts of a message. Mostly two threads use one channel.",
        THREADS,
    ),
    Told(
        505,
        PUBLISHING,
        "expected content body, got non",
        "The same, in the body of a message.",
        THREADS,
    ),
    Told(
        505,
        PUBLISHING,
        "expected method frame, got non",
        "A part of a message came without its beginning. Mostly two threads use one channel.",
        THREADS,
    ),
    Told(
        530,
        HANDSHAKE,
        "vhost NAME not found",
        "The virtual host does not exist.",
        "Correct the end of the URL (`/` is written as `%2f`), or run `leveret vhosts add VHOST`.",
    ),
    Told(
        530,
        HANDSHAKE,
        "negotiated NAME = VALUE",
        "The client asks for larger frames or more channels than the broker allows.",
        TUNING,
    ),
    Told(
        530,
        HANDSHAKE,
        "negotiated frame_max",
        "The client asks for frames that are too small.",
        TUNING,
        inner="lower than the minimum",
    ),
    Told(
        530,
        CONNECTION,
        "TEXT (CHANNEL_MAX)",
        "The client opened more channels than it agreed on with the broker.",
        "Close channels that are no longer used, or set a higher `channel_max` in the client.",
        inner="number of channels opened",
    ),
    Told(
        530,
        RECEIVER,
        "reached maximum",
        "The limit of consumers of a channel is reached.",
        "Cancel consumers, use another channel, or raise "
        "[`max-consumers-per-channel`](settings.md#max-consumers-per-channel).",
    ),
    Told(
        530,
        RECEIVER,
        "attempt to reuse consumer tag",
        "The channel already has a consumer with this tag.",
        "Choose another tag, or let the broker choose one.",
    ),
    Told(
        540,
        "core/policy/arguments.py",
        "cannot declare WHAT: stream",
        "The queue type is `stream`. Leveret has no streams.",
        "Declare a classic or a quorum queue.",
    ),
    Told(
        540,
        CONSUMING,
        "prefetch_size!=0",
        "basic.qos with a limit in bytes.",
        "Set the prefetch size to 0, and limit the number of messages with the prefetch count.",
    ),
    Told(540, PUBLISHING, "immediate=true", "basic.publish with `immediate`.", NO_IMMEDIATE),
    Told(540, CONSUMING, "requeue=false", "basic.recover without `requeue`.", "Recover with `requeue`."),
    Told(
        540,
        CHANNEL,
        "active=false",
        "channel.flow from a client that wants to stop its deliveries.",
        "Set a prefetch count, or cancel the consumer.",
    ),
    Told(
        541,
        "",
        "",
        "An error in the broker.",
        "The log has more about it. Please report it.",
    ),
)


def _find(file: str, start: str) -> str:
    """The text in a file of leveret/ that begins like this."""
    found = [text for text in _texts(file) if text.startswith(start)]  # and their constant beginnings
    assert found, f"leveret/{file} has no text that begins with {start!r}"
    return max(found, key=len)


@functools.cache
def _texts(file: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse((ROOT / "leveret" / file).read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(map(_part, node.values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else _name(node).upper()


def _name(node: ast.expr) -> str:
    """The word for what is inserted: its last name."""
    if isinstance(node, ast.FormattedValue | ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.Call):
        return _name(node.args[0] if node.args else node.func)
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_")
    return node.id if isinstance(node, ast.Name) else "value"
