"""Definitions: export and import of everything that is declared. Source: rabbit_mgmt_wm_definitions.erl."""

from __future__ import annotations

from email.message import Message
from typing import Any

from leveret.api.access import Access
from leveret.api.documents import document
from leveret.api.errors import bad_request
from leveret.api.operation import Operation
from leveret.api.request import DONE, Answer, Request
from leveret.server.requests import read_content, write_object

PARTS = 10  # maximum parts of a form
MOST = 256 << 20  # maximum bytes of a file, as for the control socket


async def export(request: Request) -> Any:
    """Export all definitions, or those of one virtual host."""
    vhost = request.path.get("vhost")
    if vhost is not None and vhost not in request.broker.vhosts:
        raise bad_request("vhost_not_found")

    async def make() -> bytes:
        return await write_object(await request.perform("export_definitions", vhost=vhost))

    return document(request.services.turns, make)


async def bring_in(request: Request) -> Answer:
    """Import definitions, as JSON or as the field `file` of a form. A faulty entry does not stop the others; the answer
    reports the first one.
    """
    vhost = request.path.get("vhost")
    if vhost is not None and vhost not in request.broker.vhosts:
        raise bad_request("vhost_not_found")
    text = _file(request)
    if not text.strip():
        return DONE
    try:
        content = await read_content(text)
    except ValueError as error:
        raise bad_request(f"failed_to_parse_json: {error}") from None
    result = await request.perform("import_definitions", content=content, vhost=vhost)
    errors = result["errors"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise bad_request(f"{errors[0]['path']}: {errors[0]['reason']}{more}")
    return DONE


def _file(request: Request) -> bytes:
    """The body, or the field `file` of a form. Raises: ApiError 400."""
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    if header.get_content_type() != "multipart/form-data":
        return request.body
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise bad_request("the form has no boundary")
    parts = request.body.split(b"--" + boundary.encode("utf-8", "surrogateescape"), PARTS)
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return content.removesuffix(b"\r\n")
    raise bad_request("the form has no field `file`")


ADMIN = Access.ADMINISTRATOR
OPERATIONS = [
    operation
    for path in ("/definitions", "/all-configuration", "/definitions/{vhost}")
    for operation in (
        Operation(
            "GET", path, export, ADMIN, "Export definitions: everything that is declared.", answers=dict[str, Any]
        ),
        Operation(
            "POST", path, bring_in, ADMIN, "Import definitions.", takes=dict[str, Any], statuses=(204,), most=MOST
        ),
    )
]
