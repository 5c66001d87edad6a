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

# days of each time unit
UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "month": 30, "months": 30, "year": 365, "years": 365}
OK = {"status": "ok"}


def failed(reason: str, **more: object) -> Answer:
    """The answer of a failed check."""
    return Answer(503, {"status": "failed", "reason": reason, **more})


async def fine(request: Request) -> dict[str, str]:
    """Always passes: a broker that answers meets this condition."""
    return OK


async def alone(request: Request) -> dict[str, str]:
    """Always passes: there is only one node, so no other node depends on it."""
    return {"status": "ok", "reason": "single node cluster"}


async def alarms(request: Request) -> Any:
    """Check that no alarm is in effect."""
    raised = int(request.broker.alarms.raised)
    found = [
        {"node": request.services.node, "resource": name}
        for name, bits in (("memory", MEMORY | FULL), ("disk", DISK))
        if raised & bits
    ]
    return failed("There are alarms in effect in the cluster", alarms=found) if found else OK


async def certificates(request: Request) -> Any:
    """Check that the certificate does not expire within a time."""
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
    """When a certificate expires; None if it cannot be read."""
    try:
        found: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
        return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), datetime.UTC)
    except (OSError, ssl.SSLError, KeyError, ValueError):
        return None


async def port(request: Request) -> Any:
    """Check that the broker listens on a port."""
    text = request.path["port"]
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise bad_request("Invalid port")
    ports = [each.number for each in request.services.facts.ports]
    if int(text) in ports:
        return {"status": "ok", "port": int(text)}
    return failed("No active listener", missing=int(text), ports=ports)


async def protocols(request: Request) -> Any:
    """Check that the broker has listeners for one or more protocols, separated by commas."""
    have = [each.protocol for each in request.services.facts.ports]
    wanted = [name.strip().lower() for name in request.path["protocols"].split(",")]
    names = {"amqp091": "amqp", "amqps": "amqp/ssl", "amqp1.0": "amqp10"}
    missing = [name for name in wanted if names.get(name, name) not in have]
    if missing:
        return failed("No active listener", missing=missing, protocols=have)
    return {"status": "ok", "protocols": have}


async def connections(request: Request) -> Any:
    """Check that the broker accepts more connections."""
    broker = request.broker
    if 0 < broker.max_connections <= broker.open_connections:
        return failed("node connection limit is reached", limit=broker.max_connections)
    return OK | {"limit": broker.max_connections or "infinity", "connections": broker.open_connections}


async def ready(request: Request) -> Any:
    """Check that clients can connect."""
    return await connections(request)


async def in_vhost(request: Request) -> Any:
    """Always passes for an existing virtual host: its queues have leaders."""
    request.vhost(for_monitors=True)
    return OK


async def alive(request: Request) -> Any:
    """Check that a virtual host exists, and that the caller has permissions in it."""
    request.errand(request.vhost()).end()
    return OK


CHECKS = (
    ("alarms", alarms, "Check that no alarm is in effect."),
    ("local-alarms", alarms, "Check that no alarm is in effect on this node."),
    ("metadata-store/initialized", fine, "Check that the metadata store is initialized; always passes."),
    (
        "metadata-store/initialized/with-data",
        fine,
        "Check that the metadata store is initialized and has its data; always passes.",
    ),
    (
        "certificate-expiration/{within}/{unit}",
        certificates,
        "Check that the certificate does not expire within a time.",
    ),
    ("port-listener/{port}", port, "Check that the broker listens on a port."),
    (
        "protocol-listener/{protocols}",
        protocols,
        "Check that the broker has listeners for one or more protocols, separated by commas.",
    ),
    ("virtual-hosts", fine, "Check that all virtual hosts are running; always passes."),
    (
        "quorum-queues-without-elected-leaders/all-vhosts/",
        fine,
        "Check that all quorum queues have a leader; always passes.",
    ),
    (
        "quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
        fine,
        "Check that the quorum queues whose names match a pattern have a leader; always passes.",
    ),
    (
        "quorum-queues-without-elected-leaders/vhost/{vhost}/",
        in_vhost,
        "Check that the quorum queues of a virtual host have a leader; always passes if it exists.",
    ),
    (
        "quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
        in_vhost,
        "Check that matching quorum queues of a virtual host have a leader; always passes if it exists.",
    ),
    (
        "node-is-quorum-critical",
        alone,
        "Check that no quorum queue would lose its majority without this node; always passes on a single node.",
    ),
    ("reached-target-cluster-size", fine, "Check that the cluster has its target size; always passes."),
)
OPEN_CHECKS = (
    ("is-in-service", fine, "Check that the node is in service; needs no login."),
    ("below-node-connection-limit", connections, "Check that the broker accepts more connections; needs no login."),
    ("ready-to-serve-clients", ready, "Check that the node is ready to serve clients; needs no login."),
)
DEPRECATED_CHECKS = (
    *(
        (path, fine, "Check the health of the node; deprecated; always passes.")
        for path in ("/healthchecks/node", "/healthchecks/node/{node}")
    ),
    (
        "/aliveness-test/{vhost}",
        alive,
        "Check that a virtual host exists and that the user has permissions in it; deprecated.",
    ),
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
    *(
        Operation("GET", path, check, Access.MANAGEMENT, text, answers=dict[str, Any])
        for path, check, text in DEPRECATED_CHECKS
    ),
]
