"""What the verbs of an administrator answer."""

from __future__ import annotations

from typing import Any

from leveret.core.errors.administration import Promise


def kept(answer: object) -> Any:
    """What a verb answers that does not have to wait for anything."""
    if isinstance(answer, Promise):
        assert answer.is_done()
        return answer.result()
    return answer
