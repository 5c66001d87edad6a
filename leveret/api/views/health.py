"""Health checks: 200 with status ok, or 503 with the reason. Source: rabbit_mgmt_wm_health_check_*.erl."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

from leveret.api.access import Access
from leveret.api.errors import bad_request
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request
from leveret.core.turn.alarms import DISK, FULL, MEMORY

UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "month": 30, "months": 30, "year": 365, "years": 365}
OK = {"status": "ok"}


def failed(reason: str, **more: object) -> Answer:
    """Something is wrong."""
    return Answer(503, {"status": "failed", "reason": reason, **more})


async def fine(request: Request) -> dict[str, str]:
    """What can be answered at all, is well."""
    return OK


async def alone(request: Request) -> dict[str, str]:
    """There is one node, which nothing depends on."""
    return {"status": "ok", "reason": "single node cluster"}


async def alarms(request: Request) -> Any:
    """No alarm is raised."""
    raised = int(request.broker.alarms.raised)
    found = [
        {"node": request.services.node, "resource": name}
        for name, bits in (("memory", MEMORY | FULL), ("disk", DISK))
        if raised & bits
    ]
    return failed("There are alarms in effect in the cluster", alarms=found) if found else OK


async def certificates(request: Request) -> Any:
    """No certificate expires within a time."""
    within, unit = request.path["within"], UNITS.get(request.path["unit"])
    if unit is None:
        raise bad_request("Time unit not recognised. Supported units: days, weeks, months, years.")
    if not within.isascii() or not within.isdigit() or len(within) > 6:
        raise bad_request("Invalid expiration value.")
    path = request.services.facts.certificate
    if not path:
        return OK
    expires = certificate_end(path)
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=int(within) * unit)
    if expires is None or expires > until:
        return OK
    found = [{"name": request.services.node, "certificate": path, "expires": expires.isoformat()}]
    return failed("Certificates expiring", expired=found)


def certificate_end(path: str) -> datetime.datetime | None:
    """When a certificate expires; None where nobody can tell."""
    try:
        found: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
        return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), datetime.UTC)
    except (OSError, ssl.SSLError, KeyError, ValueError):
        return None


async def port(request: Request) -> Any:
    """Somebody listens on a port."""
    text = request.path["port"]
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise bad_request("Invalid port")
    ports = [each.number for each in request.services.facts.ports]
    if int(text) in ports:
        return {"status": "ok", "port": int(text)}
    return failed("No active listener", missing=int(text), ports=ports)


async def protocols(request: Request) -> Any:
    """Somebody speaks a protocol, or all of several with commas between them."""
    have = [each.protocol for each in request.services.facts.ports]
    wanted = [name.strip().lower() for name in request.path["protocols"].split(",")]
    names = {"amqp091": "amqp", "amqps": "amqp/ssl", "amqp1.0": "amqp10"}
    missing = [name for name in wanted if names.get(name, name) not in have]
    if missing:
        return failed("No active listener", missing=missing, protocols=have)
    return {"status": "ok", "protocols": have}


async def connections(request: Request) -> Any:
    """There is room for more connections."""
    broker = request.broker
    if 0 < broker.max_connections <= broker.open_connections:
        return failed("node connection limit is reached", limit=broker.max_connections)
    return OK | {"limit": broker.max_connections or "infinity", "connections": broker.open_connections}


async def ready(request: Request) -> Any:
    """Clients can be served."""
    return await connections(request)


async def in_vhost(request: Request) -> Any:
    """The queues of a virtual host have leaders."""
    request.vhost(for_monitors=True)
    return OK


async def alive(request: Request) -> Any:
    """A virtual host is there, and the caller may enter it as a client."""
    request.errand(request.vhost()).end()
    return OK


CHECKS = (
    ("alarms", alarms, "No alarm is raised."),
    ("local-alarms", alarms, "No alarm is raised on this node."),
    ("metadata-store/initialized", fine, "Definitions can be read and written."),
    ("metadata-store/initialized/with-data", fine, "Definitions have been read."),
    ("certificate-expiration/{within}/{unit}", certificates, "No certificate expires within a time."),
    ("port-listener/{port}", port, "The broker listens on a port."),
    ("protocol-listener/{protocols}", protocols, "The broker speaks one or several protocols."),
    ("virtual-hosts", fine, "All virtual hosts run."),
    ("quorum-queues-without-elected-leaders/all-vhosts/", fine, "All quorum queues have a leader."),
    ("quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}", fine, "Some quorum queues have a leader."),
    ("quorum-queues-without-elected-leaders/vhost/{vhost}/", in_vhost, "Quorum queues there have a leader."),
    (
        "quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
        in_vhost,
        "Some quorum queues there have a leader.",
    ),
    ("node-is-quorum-critical", alone, "The node may be stopped without taking a majority from any queue."),
    ("reached-target-cluster-size", fine, "All nodes are there."),
)
OPEN_CHECKS = (
    ("is-in-service", fine, "The node is in service; needs no login."),
    ("below-node-connection-limit", connections, "There is room for more connections; needs no login."),
    ("ready-to-serve-clients", ready, "The node is ready to serve clients; needs no login."),
)
OPERATIONS = [
    *(
        Operation("GET", f"/health/checks/{path}", check, Access.MANAGEMENT, text, answers=dict[str, Any])
        for path, check, text in CHECKS
    ),
    *(
        Operation("GET", f"/health/checks/{path}", check, Access.ANYBODY, text, answers=dict[str, Any])
        for path, check, text in OPEN_CHECKS
    ),
    Operation("GET", "/healthchecks/node", fine, Access.MANAGEMENT, "An old check.", answers=dict[str, Any]),
    Operation("GET", "/healthchecks/node/{node}", fine, Access.MANAGEMENT, "An old check.", answers=dict[str, Any]),
    Operation(
        "GET",
        "/aliveness-test/{vhost}",
        alive,
        Access.MANAGEMENT,
        "An old check of a virtual host.",
        answers=dict[str, Any],
    ),
]
