"""The checks of a publish before routing, in the same order as in Publisher."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.access import user as access
from leveret.core.access.user import User
from leveret.core.client.publisher import more_keys
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange_types.kinds import TOPIC
from leveret.core.policy.checks import expiration_error
from leveret.core.policy.matching import Patience
from leveret.core.queue.replies import REPLY_TO
from leveret.core.vhost import VirtualHost
from leveret.management.explaining.shapes import Check, Question

PERMISSION = "permission"
EXCHANGE = "exchange"
SIZE = "size"
PROPERTIES = "properties"
TOPIC_PERMISSION = "topic_permission"


def keys_of(question: Question) -> list[str]:
    """All routing keys of a message: its own key, and those in the headers CC and BCC if both headers are valid."""
    headers = question.properties.headers or {}
    try:
        return [question.key, *more_keys(headers, "CC"), *more_keys(headers, "BCC")]
    except Refusal:
        return [question.key]


def checks(vhost: VirtualHost, question: Question, exchange: Exchange | None, max_size: int) -> list[Check]:
    """The checks, up to the first that fails. max_size: maximum size of a body in bytes."""
    found: list[Check] = []
    for check in _all(vhost, question, exchange, max_size):
        found.append(check)
        if not check.is_passed:
            break
    return found


def _all(vhost: VirtualHost, question: Question, exchange: Exchange | None, max_size: int) -> Iterator[Check]:
    user = question.user
    if user is not None:
        yield _permission(vhost, question.exchange, user)
    if exchange is None:
        yield Check(EXCHANGE, False, f"there is no exchange '{question.exchange}' in virtual host '{vhost.name}'")
        return
    if exchange.internal:
        yield Check(EXCHANGE, False, f"exchange '{exchange.name}' is internal: clients cannot publish to it")
    if question.size > max_size:
        yield Check(SIZE, False, f"the body has {question.size} bytes; at most {max_size} are allowed")
    yield from _properties(question)
    if user is not None and exchange.kind == TOPIC:
        yield from _topic_permission(vhost, exchange.name, question, user)
    if user is not None:
        yield from _user_id(question, user)


def _permission(vhost: VirtualHost, name: str, user: User) -> Check:
    permission = user.permissions.get(vhost.name)
    if permission is None:
        return Check(PERMISSION, False, f"user '{user.name}' has no permission in virtual host '{vhost.name}'")
    pattern = permission.pattern(access.WRITE)
    shown = name or "amq.default"
    if user.may(access.WRITE, "exchange", name, vhost.name, Patience()):
        text = f"user '{user.name}' may write to exchange '{shown}', because the pattern matches its name"
        return Check(PERMISSION, True, text, pattern)
    text = f"user '{user.name}' may not write to exchange '{shown}', because the pattern does not match its name"
    return Check(PERMISSION, False, text, pattern)


def _properties(question: Question) -> Iterator[Check]:
    properties = question.properties
    headers = properties.headers or {}
    if properties.reply_to == REPLY_TO:
        text = f"the channel must consume from {REPLY_TO} to receive the reply"
        yield Check(PROPERTIES, True, text)
    if properties.expiration is not None:
        reason = expiration_error(properties.expiration)
        if reason:
            yield Check(PROPERTIES, False, f"the expiration '{properties.expiration}' is not a number of milliseconds")
    for name in ("CC", "BCC"):
        try:
            more_keys(headers, name)
        except Refusal:
            yield Check(PROPERTIES, False, f"the header {name} must be an array of routing keys")


def _topic_permission(vhost: VirtualHost, exchange: str, question: Question, user: User) -> Iterator[Check]:
    permission = user.topic_permissions.get(vhost.name, {}).get(exchange)
    if permission is None:
        return
    patience = Patience()
    for key in keys_of(question):
        is_passed = user.may_topic(access.WRITE, exchange, key, vhost.name, patience)
        may = "may" if is_passed else "may not"
        text = f"user '{user.name}' {may} use the routing key '{key}' with topic exchange '{exchange}'"
        yield Check(TOPIC_PERMISSION, is_passed, text, permission.write)


def _user_id(question: Question, user: User) -> Iterator[Check]:
    claimed = question.properties.user_id
    if claimed is not None and claimed != user.name and "impersonator" not in user.tags:
        text = f"the property user_id is '{claimed}': this requires that user or the tag impersonator"
        yield Check(PROPERTIES, False, text)
