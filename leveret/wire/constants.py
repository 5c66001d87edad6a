"""Constants of AMQP 0-9-1 that more than one file needs: frame types, reply codes, limits.

Source: 0-9-1 XML constants; the set of reply codes, and which of them close the connection, are RabbitMQ's.
"""

from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE

FRAME_OVERHEAD: Final = 8  # bytes: type 1, channel 2, size 4, end 1
FRAME_MIN_SIZE: Final = 4096  # bytes, the smallest frame_max a client may choose
FRAME_MAX: Final = 131072  # bytes, offered in connection.tune
INITIAL_FRAME_MAX: Final = 8192  # bytes, before connection.tune-ok; as rabbit_reader.erl
SMALL_BODY_FRAME: Final = 1024  # bytes of payload; smaller body frames are joined on arrival
CHANNEL_MAX: Final = 2047  # channels, offered in connection.tune
HEARTBEAT_S: Final = 60  # seconds, offered in connection.tune
MAX_CONTENT_SIZE: Final = 536870912  # bytes a content header may announce; as rabbit_command_assembler.erl
MAX_MESSAGE_SIZE: Final = 16777216  # bytes of a body, unless set otherwise

CLASS_BASIC: Final = 60

# Reply codes
SUCCESS: Final = 200
NO_ROUTE: Final = 312
CONNECTION_FORCED: Final = 320
ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404
RESOURCE_LOCKED: Final = 405
PRECONDITION_FAILED: Final = 406
FRAME_ERROR: Final = 501
SYNTAX_ERROR: Final = 502
COMMAND_INVALID: Final = 503
CHANNEL_ERROR: Final = 504
UNEXPECTED_FRAME: Final = 505
NOT_ALLOWED: Final = 530
NOT_IMPLEMENTED: Final = 540
INTERNAL_ERROR: Final = 541

REPLY_NAMES: Final = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}

SOFT_CODES: Final = frozenset((311, 403, 404, 405, 406))  # these close the channel; all others the connection
