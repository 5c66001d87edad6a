"""The OpenAPI 3.1 description of the API, generated from the table of operations."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret import __version__
from leveret.api.access import Access
from leveret.api.operation import COLUMNS, LISTING, Operation
from leveret.api.query import MAX_PAGE_SIZE

REF = "#/components/schemas/{name}"
INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}
TEXT = {"type": "string"}
QUERY: dict[str, tuple[dict[str, Any], str]] = {
    "page": ({**INTEGER, "minimum": 1}, "Page number. The answer is then an object with `items` instead of a list."),
    "page_size": ({**INTEGER, "minimum": 1, "maximum": MAX_PAGE_SIZE}, "Items per page; 100 by default."),
    "name": (TEXT, "With `page`: only items whose names contain this text."),
    "use_regex": (BOOLEAN, "Treat `name` as a regular expression."),
    "sort": (TEXT, "Sort by this column, for example `message_stats.publish_details.rate`."),
    "sort_reverse": (BOOLEAN, "Sort in descending order."),
    "columns": (TEXT, "Return only these fields, separated by commas, for example `name,arguments.x-max-length`."),
    "pagination": (BOOLEAN, "Sent by some clients; has no effect."),
    "disable_stats": (BOOLEAN, "Leave out statistics, which is faster."),
    "enable_queue_totals": (BOOLEAN, "With `disable_stats`: still include the numbers of messages."),
    "if-unused": (BOOLEAN, "Delete only if it is not in use."),
    "if-empty": (BOOLEAN, "Delete only if it is empty."),
    "topics": (TEXT, "Topics, separated by commas: overview, queues, queues:VHOST; all topics by default."),
    "vhost": (TEXT, "Only items in this virtual host."),
    "exchange": (TEXT, "Only items of this exchange; `amq.default` is the default exchange."),
    "limit": ({**INTEGER, "minimum": 1, "maximum": 1_000}, "Maximum number of items; 100 by default."),
    "seconds": (
        {**INTEGER, "minimum": 1, "maximum": 60},
        "Measure the delay of the event loop over this many seconds.",
    ),
    "memory": (BOOLEAN, "Include a breakdown of memory use."),
    "after": (TEXT, "Start after this position: `next` of the page before. Omit it for the first page."),
    "count": ({**INTEGER, "minimum": 1, "maximum": 500}, "Maximum number of messages."),
    "behind": (TEXT, "Only messages after the one with this `id`: the last one of an earlier answer."),
    "routing_key": (TEXT, "The routing key of the message."),
    "mandatory": (BOOLEAN, "With `false`, a message that reaches no queue is dropped, and the answer is 202."),
    "correlation_id": (TEXT, "This property of the message."),
    "reply_to": (TEXT, "This property of the message."),
    "expiration": (TEXT, "The message expires after this many milliseconds."),
    "message_id": (TEXT, "This property of the message."),
    "type": (TEXT, "This property of the message."),
    "user_id": (TEXT, "This property of the message: the name of the logged-in user."),
    "app_id": (TEXT, "This property of the message."),
    "delivery_mode": (
        {**INTEGER, "minimum": 0, "maximum": 255},
        "1 for a transient message, 2 for a persistent one; 2 by default.",
    ),
    "priority": ({**INTEGER, "minimum": 0, "maximum": 255}, "This property of the message."),
    "timestamp": ({**INTEGER, "minimum": 0}, "This property of the message: seconds since 1970."),
    "max": ({**INTEGER, "minimum": 1, "maximum": 1_000}, "Maximum number of messages; 1 by default."),
    "wait": ({**INTEGER, "minimum": 0, "maximum": 60}, "Seconds to wait for a message; 20 by default."),
    "truncate": (
        {**INTEGER, "minimum": 0, "maximum": 1 << 20},
        "Maximum bytes of each payload; 65536 by default.",
    ),
    "raw": (
        BOOLEAN,
        "Return one message as its raw body, with its properties in HTTP headers; 204 if there is no message.",
    ),
}
KINDS = {
    "lengths": "numbers of messages",
    "msg_rates": "rates of messages",
    "data_rates": "rates of bytes",
    "node_stats": "numbers of the node",
}
SUCCESS = {
    200: "Success.",
    201: "Created.",
    202: "Accepted, but without an effect.",
    204: "Success. The answer has no body.",
    207: "Partial success.",
}


def _query(name: str) -> dict[str, Any]:
    known = QUERY.get(name)
    if known is None:
        kind, _, what = name.rpartition("_")
        if what == "age":
            known = ({**INTEGER, "minimum": 1}, f"How many seconds back samples of {KINDS[kind]} go.")
        else:
            known = ({**INTEGER, "minimum": 1}, f"Seconds between two samples of {KINDS[kind]}.")
    schema, text = known
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _is_list(operation: Operation) -> bool:
    return operation.query[: len(LISTING)] == LISTING


def _answer(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    if operation.answers is None:
        return {}
    schema = {} if operation.answers is bytes else schemas[operation.answers]
    if _is_list(operation):
        page = {"type": "object", "required": ["items", "page", "page_count", "total_count"]}
        schema = {"anyOf": [{"type": "array"}, page], "description": "A list; with `page`, one page of it."}
    elif operation.query[: len(COLUMNS)] == COLUMNS:
        some = {"type": "object", "description": "With `columns`: only these fields."}
        schema = {"anyOf": [schema, some, {"type": "array", "items": some}]}
    return {"content": {operation.media_type: {"schema": schema}}}


def _operation(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": TEXT, "description": "Percent-encoded: / is %2F."}
        for name in operation.parameters
    ]
    parameters += [_query(name) for name in operation.query]
    responses: dict[str, Any] = {
        str(status): {"description": SUCCESS[status], **(_answer(operation, schemas) if status != 204 else {})}
        for status in operation.statuses
    }
    for status in operation.refusals:
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    found: dict[str, Any] = {
        "operationId": _identifier(operation),
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": parameters,
        "responses": responses,
    }
    if operation.access is Access.ANYBODY:
        found["security"] = []
    if operation.takes is bytes:
        anything: dict[str, Any] = {"application/octet-stream": {"schema": {}}, "*/*": {"schema": {}}}
        found["requestBody"] = {"content": anything}
    elif operation.takes is not None:
        found["requestBody"] = {"content": {operation.takes_type: {"schema": schemas[operation.takes]}}}
    return found


def _identifier(operation: Operation) -> str:
    words = [part.strip("{}").replace("-", "_").replace(".", "_") for part in operation.path.split("/") if part]
    return "_".join([operation.method.lower(), *words])


REFUSALS = {
    400: "The request is not valid; see `reason`.",
    401: "The login is missing or wrong, or the user has no right to do this.",
    403: "The user has no permission, or a browser sent the request for another site or without the CSRF token.",
    404: "The object does not exist.",
    405: "The path does not support this method.",
    408: "The body did not arrive in time.",
    409: "Another client has exclusive access.",
    412: "A precondition failed: the object is protected.",
    413: "The body is too large.",
    422: "The message reached no queue.",
    503: "Not possible at the moment; see `reason`.",
}


def _content(status: int) -> dict[str, Any]:
    """The body of an error answer. A failed health check has a body of its own."""
    if status in (401, 405):
        return {}
    schema = {"type": "object", "required": ["reason"]} if status == 503 else {"$ref": REF.format(name="Error")}
    return {"content": {"application/json": {"schema": schema}}}


def describe(operations: list[Operation], url: str) -> dict[str, Any]:
    """The OpenAPI document. url: of the API, as clients see it."""
    shapes = list(
        dict.fromkeys(each for op in operations for each in (op.answers, op.takes) if each not in (None, bytes))
    )
    found, components = msgspec.json.schema_components(shapes, ref_template=REF)
    schemas = dict(zip(shapes, found, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    error = {
        "type": "object",
        "required": ["error", "reason"],
        "properties": {"error": TEXT, "reason": {"type": "string", "description": "What went wrong, for people."}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret",
            "version": __version__,
            "description": "Leveret's HTTP API: that of RabbitMQ 4.3's management plugin, and its own operations.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": [{"basic": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "leveret-15672",
                    "description": "Set by POST /leveret/session; its name contains the port. Requests that change"
                    " something also need the header X-CSRF-Token.",
                },
            },
            "schemas": {**components, "Error": error},
            "responses": {str(status): {"description": text, **_content(status)} for status, text in REFUSALS.items()},
        },
    }
