"""The description of the API in OpenAPI 3.1, made from the table of operations."""

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
    "page": ({**INTEGER, "minimum": 1}, "Which page; the answer is then an object with `items`, and not a list."),
    "page_size": ({**INTEGER, "minimum": 1, "maximum": MAX_PAGE_SIZE}, "How many items a page has; 100 if not given."),
    "name": (TEXT, "On pages: only items with this in their names."),
    "use_regex": (BOOLEAN, "Take `name` for a regular expression."),
    "sort": (TEXT, "The column by which items are sorted, as `message_stats.publish_details.rate`."),
    "sort_reverse": (BOOLEAN, "The other way round."),
    "columns": (TEXT, "Only these fields, with commas between them, as `name,arguments.x-max-length`."),
    "pagination": (BOOLEAN, "Sent by some clients; without an effect."),
    "disable_stats": (BOOLEAN, "Without statistics, which is quicker."),
    "enable_queue_totals": (BOOLEAN, "With `disable_stats`: how many messages there are all the same."),
    "if-unused": (BOOLEAN, "Only if nothing uses it."),
    "if-empty": (BOOLEAN, "Only if there is nothing in it."),
    "topics": (TEXT, "What is wanted, with commas between: overview, queues, queues:VHOST; all of it if not given."),
    "vhost": (TEXT, "Only what is in this virtual host."),
    "exchange": (TEXT, "Only what concerns this exchange; `amq.default` is the default one."),
    "limit": ({**INTEGER, "minimum": 1, "maximum": 1_000}, "At most so many; 100 if not given."),
    "seconds": (
        {**INTEGER, "minimum": 1, "maximum": 60},
        "The lag of the event loop is told of so many seconds.",
    ),
    "memory": (BOOLEAN, "With where the memory goes."),
    "after": (TEXT, "The place behind which a page begins: `next` of the one before; the first page without it."),
    "count": ({**INTEGER, "minimum": 1, "maximum": 500}, "How many messages at most."),
    "behind": (TEXT, "Those behind the message with this `id`, the last one of an earlier answer."),
    "routing_key": (TEXT, "The routing key of the message."),
    "mandatory": (BOOLEAN, "With `false`, a message that no queue gets is answered with 202, and is gone."),
    "correlation_id": (TEXT, "This property of the message."),
    "reply_to": (TEXT, "This property of the message."),
    "expiration": (TEXT, "After how many milliseconds the message expires."),
    "message_id": (TEXT, "This property of the message."),
    "type": (TEXT, "This property of the message."),
    "user_id": (TEXT, "This property of the message: the name of the user."),
    "app_id": (TEXT, "This property of the message."),
    "delivery_mode": ({**INTEGER, "minimum": 0, "maximum": 255}, "1 for a transient message; 2 if not given."),
    "priority": ({**INTEGER, "minimum": 0, "maximum": 255}, "This property of the message."),
    "timestamp": ({**INTEGER, "minimum": 0}, "This property of the message: seconds since 1970."),
    "max": ({**INTEGER, "minimum": 1, "maximum": 1_000}, "How many messages are wanted at most; 1 if not given."),
    "wait": ({**INTEGER, "minimum": 0, "maximum": 60}, "How many seconds to wait for one; 20 if not given."),
    "truncate": (
        {**INTEGER, "minimum": 0, "maximum": 1 << 20},
        "Bytes of each payload that are shown; 65536 if not given.",
    ),
    "raw": (BOOLEAN, "One message as it is: its body, and the rest in headers; 204 if there is none."),
}
KINDS = {
    "lengths": "numbers of messages",
    "msg_rates": "rates of messages",
    "data_rates": "rates of bytes",
    "node_stats": "numbers of the node",
}
SUCCESS = {
    200: "Done.",
    201: "It is made.",
    202: "Done, without an effect.",
    204: "Done; there was such a thing before, or is none any more.",
    207: "Done, in part.",
}


def _query(name: str) -> dict[str, Any]:
    known = QUERY.get(name)
    if known is None:
        kind, _, what = name.rpartition("_")
        if what == "age":
            known = ({**INTEGER, "minimum": 1}, f"Samples of {KINDS[kind]} go so many seconds back.")
        else:
            known = ({**INTEGER, "minimum": 1}, f"Samples of {KINDS[kind]} are so many seconds apart.")
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
        schema = {"anyOf": [{"type": "array"}, page], "description": "A list, or with `page` one page of it."}
    elif operation.query[: len(COLUMNS)] == COLUMNS:
        some = {"type": "object", "description": "With `columns`: only those."}
        schema = {"anyOf": [schema, some, {"type": "array", "items": some}]}
    return {"content": {operation.media_type: {"schema": schema}}}


def _operation(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": TEXT, "description": "Percent-encoded, / as %2F."}
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
    400: "The request makes no sense; `reason` says why.",
    401: "Nobody has logged in, or whoever has may not do this.",
    403: "A browser has sent it for another site, or without the token of its session; or a permission is missing.",
    404: "There is no such thing.",
    405: "The path has no such method.",
    408: "The body did not come in time.",
    409: "Somebody else has it for themselves.",
    412: "Something protects it.",
    413: "The body is too large.",
    422: "No queue gets the message.",
    503: "It cannot be done now; `reason` says why.",
}


def _content(status: int) -> dict[str, Any]:
    """What a refusal says. A health check that fails says so in its own way."""
    if status in (401, 405):
        return {}
    schema = {"type": "object", "required": ["reason"]} if status == 503 else {"$ref": REF.format(name="Error")}
    return {"content": {"application/json": {"schema": schema}}}


def describe(operations: list[Operation], url: str) -> dict[str, Any]:
    """The whole description. url: of the API, as clients see it."""
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
        "properties": {"error": TEXT, "reason": {"type": "string", "description": "A sentence for people."}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret",
            "version": __version__,
            "description": "The HTTP API of RabbitMQ 4.3's management plugin, as Leveret answers it.",
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
                    "description": "As POST /leveret/session sets it; its name has the port. Whatever changes something"
                    " needs the header X-CSRF-Token too.",
                },
            },
            "schemas": {**components, "Error": error},
            "responses": {str(status): {"description": text, **_content(status)} for status, text in REFUSALS.items()},
        },
    }
