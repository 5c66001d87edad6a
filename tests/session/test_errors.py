"""What the kinds of refusals of the core are for a client of AMQP 0-9-1."""

from __future__ import annotations

import pytest

from leveret.core.errors import refusals
from leveret.core.errors.refusals import Refusal
from leveret.session.base.errors import CODES, AmqpError, as_reply
from leveret.wire.constants import REPLY_NAMES, SOFT_CODES

KINDS = {value for name, value in vars(refusals).items() if name.isupper()} - {refusals.PROTOCOL}


def test_every_kind_has_a_code() -> None:
    assert set(CODES) == KINDS
    assert set(CODES.values()) <= set(REPLY_NAMES)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_refusal_becomes_a_reply(kind: str) -> None:
    reply = as_reply(Refusal(kind, "it is not done", "ask somebody else", "queue 'q' in vhost '/'"))
    assert reply.code == CODES[kind]
    assert reply.reply_text == f"{REPLY_NAMES[CODES[kind]]} - it is not done"
    assert reply.log_text == f"{reply.reply_text} (ask somebody else)"
    assert reply.is_soft == (reply.code in SOFT_CODES or kind == refusals.FAULTY)


def test_what_has_a_code_keeps_it() -> None:
    error = AmqpError(504, "second 'channel.open' seen")
    assert as_reply(error) is error


def test_a_text_is_cut_to_a_short_string() -> None:
    text = AmqpError(404, "\u00e9" * 200).reply_text
    assert len(text.encode()) <= 255
    assert text.endswith("\u00e9...")
