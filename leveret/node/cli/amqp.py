"""Open AMQP connections: to a local broker through its control socket, without a password; to a remote broker through
the port that its HTTP API reports.
"""

from __future__ import annotations

import socket

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.cli.asking import Broker, local_link, where
from leveret.node.cli.output import refuse
from leveret.node.cli.remote import CONNECT_S, Place, Unreachable, make_context
from leveret.node.cli.target import BrokerError, Target


def connect_amqp(target: Target, vhost: str) -> AmqpClient:
    """An AMQP client of the target broker. Ends the command if there is none, or if the login fails."""
    try:
        if target.is_remote:
            place, ca_file = where(target)
            return AmqpClient(_dial(target, place, ca_file), place.user, place.password or "", vhost)
        link = local_link(target)
        link.ask("amqp", {})
        return AmqpClient(link.detach(), "", "", vhost)
    except (AmqpError, BrokerError) as error:
        refuse(str(error))


def _dial(target: Target, place: Place, ca_file: str) -> socket.socket:
    """A connection to the AMQP port of a remote broker, with TLS if its API uses https."""
    from leveret.node.cli.remote import RemoteBroker

    try:
        context = make_context(ca_file) if place.scheme == "https" else None
        broker = Broker(RemoteBroker(place, ca_file), place)
    except Unreachable as error:
        refuse(str(error))
    listeners = broker.get("/overview", {"columns": "listeners"})["listeners"]
    broker.close()
    protocol = "amqp" if context is None else "amqp/ssl"
    ports = [each["port"] for each in listeners if each["protocol"] == protocol]
    if not ports:
        refuse(f"{place.shown} reports no port for {protocol}, which this command needs")
    try:
        raw = socket.create_connection((place.host, ports[0]), CONNECT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw if context is None else context.wrap_socket(raw, server_hostname=place.host)
    except OSError as error:
        refuse(f"cannot connect to the AMQP port {place.host}:{ports[0]}: {error.strerror or error}")
