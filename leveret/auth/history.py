"""History: who has failed to log in lately, and therefore has to wait, and who has not.

Kept for names and addresses as clients give them, so it knows nothing of users. Its tables are bounded: what was
not asked for longest is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_KNOWN: Final = 10_000  # entries of a table
FIRST_DELAY_S: Final = 0.1  # after a failure; twice as much after each further one
LAST_DELAY_S: Final = 4.0
FORGET_S: Final = 60.0  # after which a failure does not count any more


class _Pair:
    """What is known of one name from one address."""

    __slots__ = ("delayed_until_s", "failures", "has_succeeded")

    def __init__(self) -> None:
        self.failures = 0
        self.delayed_until_s = 0.0
        self.has_succeeded = False


class History:
    """What became of logins. time: in seconds, that never goes back."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._pairs: OrderedDict[tuple[str, bytes], _Pair] = OrderedDict()
        self._failed_s: OrderedDict[str | bytes, float] = OrderedDict()  # when an address or a name has failed last

    def delay_s(self, site: str, name: bytes) -> float:
        """How long a name from this address has to wait until its next password is looked at."""
        pair = self._pairs.get((site, name))
        return 0.0 if pair is None else max(pair.delayed_until_s - self._time(), 0.0)

    def has_succeeded(self, site: str, name: bytes) -> bool:
        """Whether the last password of this name from this address that was right is still remembered."""
        pair = self._pairs.get((site, name))
        return pair is not None and pair.has_succeeded

    def failed_s(self, key: str | bytes) -> float:
        """When this address or name has failed last; 0 if that is not so, or too long ago."""
        failed_s = self._failed_s.get(key, 0.0)
        return failed_s if failed_s + FORGET_S > self._time() else 0.0

    def succeeded(self, site: str, name: bytes) -> None:
        """The right password was given."""
        pair = self._pair(site, name)
        pair.has_succeeded = True
        pair.failures = 0
        pair.delayed_until_s = 0.0

    def failed(self, site: str, name: bytes) -> None:
        """The password was wrong, or there is no such user."""
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
        """What is known of a pair, to be changed."""
        pair = self._pairs.get((site, name))
        if pair is None:
            pair = self._pairs[site, name] = _Pair()
            if len(self._pairs) > MOST_KNOWN:
                self._pairs.popitem(last=False)
        else:
            self._pairs.move_to_end((site, name))
        return pair
