"""History: recent failed and successful logins, and the delays that follow from failures.

The keys are names and addresses as clients send them, whether or not the user exists. The tables are bounded: the
least recently used entry is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_KNOWN: Final = 10_000  # entries of a table
FIRST_DELAY_S: Final = 0.1  # after a failure; twice as much after each further one
LAST_DELAY_S: Final = 4.0
FORGET_S: Final = 60.0  # after that, a failure does not count any more


class _Pair:
    """The history of one name from one address."""

    __slots__ = ("delayed_until_s", "failures", "has_succeeded")

    def __init__(self) -> None:
        self.failures = 0
        self.delayed_until_s = 0.0
        self.has_succeeded = False


class History:
    """The results of logins. time: a monotonic clock, in seconds."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._pairs: OrderedDict[tuple[str, bytes], _Pair] = OrderedDict()
        self._failed_s: OrderedDict[str | bytes, float] = OrderedDict()  # time of the last failure, by address or name

    def delay_s(self, site: str, name: bytes) -> float:
        """Seconds until the next password of this name from this address may be checked."""
        pair = self._pairs.get((site, name))
        return 0.0 if pair is None else max(pair.delayed_until_s - self._time(), 0.0)

    def has_succeeded(self, site: str, name: bytes) -> bool:
        """Whether a successful login of this name from this address is known."""
        pair = self._pairs.get((site, name))
        return pair is not None and pair.has_succeeded

    def failed_s(self, key: str | bytes) -> float:
        """The time of the last failure of this address or name; 0 without one in the last FORGET_S."""
        failed_s = self._failed_s.get(key, 0.0)
        return failed_s if failed_s + FORGET_S > self._time() else 0.0

    def succeeded(self, site: str, name: bytes) -> None:
        """Note a successful login."""
        pair = self._pair(site, name)
        pair.has_succeeded = True
        pair.failures = 0
        pair.delayed_until_s = 0.0

    def failed(self, site: str, name: bytes) -> None:
        """Note a wrong password or an unknown user."""
        now_s = self._time()
        pair = self._pair(site, name)
        if pair.delayed_until_s + FORGET_S < now_s:
            pair.failures = 0
        delay_s = min(FIRST_DELAY_S * 2.0 ** min(pair.failures, 30), LAST_DELAY_S)
        pair.failures += 1
        pair.delayed_until_s = now_s + delay_s
        for key in (site, name):
            self._failed_s[key] = now_s
            self._failed_s.move_to_end(key)
        while len(self._failed_s) > MOST_KNOWN:
            self._failed_s.popitem(last=False)

    def _pair(self, site: str, name: bytes) -> _Pair:
        """The entry of a pair, created if necessary."""
        pair = self._pairs.get((site, name))
        if pair is None:
            pair = self._pairs[site, name] = _Pair()
            if len(self._pairs) > MOST_KNOWN:
                self._pairs.popitem(last=False)
        else:
            self._pairs.move_to_end((site, name))
        return pair
