"""Variables of OpenTelemetry that Leveret reads itself, since it does the sampling. The SDK reads the others."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Final

from leveret.core.client.sampling import RANDOM, Sampler

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
DISABLED: Final = "OTEL_SDK_DISABLED"
PARENTS: Final = "parentbased_"
ALL: Final = "always_on"
NONE: Final = "always_off"
SHARE: Final = "traceidratio"
DEFAULT: Final = PARENTS + ALL
KNOWN: Final = tuple(prefix + name for prefix in ("", PARENTS) for name in (ALL, NONE, SHARE))

log = logging.getLogger("leveret.telemetry")


def is_disabled(variables: Mapping[str, str]) -> bool:
    """Whether the variables disable tracing."""
    return variables.get(DISABLED, "").strip().lower() == "true"


def make_sampler(share: float | None, variables: Mapping[str, str]) -> Sampler:
    """The sampler. share: fraction of the traces that begin here to record; None to use the variables."""
    seed = secrets.randbelow(RANDOM)
    if share is not None:
        return Sampler(share, True, seed)
    name = variables.get(SAMPLER, "").strip().lower() or DEFAULT
    if name not in KNOWN:
        log.warning("%s cannot be '%s': must be one of %s; using %s", SAMPLER, name, ", ".join(KNOWN), DEFAULT)
        name = DEFAULT
    kind = name.removeprefix(PARENTS)
    share = 1.0 if kind == ALL else 0.0 if kind == NONE else _share(variables.get(ARGUMENT, ""))
    return Sampler(share, name.startswith(PARENTS), seed)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        log.warning("%s cannot be '%s': must be a number from 0 to 1; using 1", ARGUMENT, text)
        return 1.0
    return share
