"""leveret ping, version and health: check whether a broker answers, show its version, run health checks."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.output import AsJson, refuse
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say, say_json

CHECKS: Final = (
    "alarms",
    "virtual-hosts",
    "is-in-service",
    "ready-to-serve-clients",
    "metadata-store/initialized",
    "certificate-expiration/1/months",
)
EXTRA: Final = "port-listener/5672, protocol-listener/amqp, certificate-expiration/2/weeks"


def complete_check(incomplete: str) -> list[str]:
    """Checks that begin with this text."""
    return [check for check in CHECKS if check.startswith(incomplete)]


@at_broker
def ping(target: Target, as_json: AsJson = False) -> None:
    """Check whether a running broker answers; exit status 1 if not."""
    with broker_at(target) as broker:
        broker.get(path("whoami"))  # connects
        began = time.perf_counter()
        who = broker.get(path("whoami"))
        spent_ms = (time.perf_counter() - began) * 1000
        node = broker.get(path("overview"), {"columns": "node"})["node"]
    if as_json:
        say_json({"node": node, "user": who["name"], "milliseconds": round(spent_ms, 2)})
    else:
        say(f"{node} answers in {spent_ms:.1f} ms.")


@at_broker
def version(target: Target, as_json: AsJson = False) -> None:
    """Show the version of a running broker. `leveret --version` shows the version of this command."""
    with broker_at(target) as broker:
        columns = "node,product_name,product_version,rabbitmq_version,erlang_full_version"
        found = broker.get(path("overview"), {"columns": columns})
    if as_json:
        say_json(found)
    else:
        name, runs_on = f"{found['product_name']} {found['product_version']}", found["erlang_full_version"]
        say(f"{name} on {runs_on}; HTTP API of RabbitMQ {found['rabbitmq_version']}; node {found['node']}")


@at_broker
def health(
    target: Target,
    check: Annotated[
        str | None,
        typer.Argument(
            help=f"A single check, such as {EXTRA}. Default: the standard checks.", autocompletion=complete_check
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run health checks on a running broker; exit status 1 if one fails."""
    with broker_at(target) as broker:
        found = [_look(broker, each) for each in ([check] if check else CHECKS)]
    if as_json:
        say_json(found)
    else:
        for each in found:
            say(f"{each['status']:6}  {each['check']}{': ' if each['reason'] else ''}{each['reason']}")
    failed = [each["check"] for each in found if each["status"] != "ok"]
    if failed:
        refuse(f"not healthy: {', '.join(failed)}")


def _look(broker: Broker, check: str) -> dict[str, Any]:
    reply = broker.ask("GET", f"/health/checks{path(*check.strip('/').split('/'))}")
    if reply.status == 503:
        content = broker.read(reply)
        return {"check": check, "status": "failed", "reason": _reason(content)}
    if not reply.is_good:
        broker.refuse(reply, f"there is no check '{check}'; choose from {', '.join(CHECKS)}, {EXTRA}")
    return {"check": check, "status": "ok", "reason": ""}


def _reason(content: dict[str, Any]) -> str:
    """Why a check failed, with the other fields of the reply."""
    more = [f"{key} {_told(value)}" for key, value in content.items() if key not in ("status", "reason")]
    return "; ".join([str(content.get("reason", "")), *more])


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {_told(each)}" for key, each in value.items() if key != "node")
    return str(value)
