"""Set up OpenTelemetry for a node."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from leveret.core.broker import Broker
from leveret.node.config import STANDARD, Config
from leveret.node.errors import StartError

if TYPE_CHECKING:
    from leveret.telemetry.telemetry import Telemetry

log = logging.getLogger("leveret.telemetry")


def trace(config: Config, broker: Broker) -> Telemetry | None:
    """The telemetry of a node; None if OTEL_SDK_DISABLED is set. Raises: StartError."""
    try:
        from leveret.telemetry.telemetry import Telemetry
        from leveret.telemetry.variables import is_disabled
    except ModuleNotFoundError as error:
        raise StartError(
            f"--otlp-endpoint needs OpenTelemetry, which is not installed ({error}): "
            "pip install 'leveret[opentelemetry]'"
        ) from None
    if is_disabled(os.environ):
        log.warning("no spans: OTEL_SDK_DISABLED is true")
        return None
    endpoint = "" if config.otlp_endpoint == STANDARD else config.otlp_endpoint
    try:
        return Telemetry(broker, endpoint, config.otlp_ratio, config.otlp_limit, os.environ)
    except Exception as error:  # the SDK raises various errors for wrong variables
        reason = str(error).rstrip(".")
        raise StartError(f"OpenTelemetry: {reason}; check the variables that begin with OTEL_") from None
