"""Strikes at a broker under load that keeps everything in PostgreSQL: its database, the standby, both, or the wait for
the standby. At the end of each life the broker is killed, and the next one is audited.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from leveret.cluster import schema
from leveret.cluster.database import connect
from tests.crash.kill import Victim
from tests.crash.workloads import WORKLOADS
from tests.postgres.server import Pair

MAX_AWAY_S = 0.8
COMMITS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%%commits'"

Strike = Callable[[Pair, random.Random], None]


def kill_primary(pair: Pair, chance: random.Random) -> None:
    """The primary ends at once, and starts again."""
    pair.primary.kill()
    time.sleep(chance.random() * MAX_AWAY_S)
    pair.primary.start()


def kill_standby(pair: Pair, chance: random.Random) -> None:
    """The standby ends at once, and starts again: commits wait for it."""
    pair.standby.kill()
    time.sleep(chance.random() * MAX_AWAY_S)
    pair.standby.start()


def kill_both(pair: Pair, chance: random.Random) -> None:
    """Both end at once, and start again."""
    pair.primary.kill()
    pair.standby.kill()
    time.sleep(chance.random() * MAX_AWAY_S)
    pair.recover()


def pause_primary(pair: Pair, chance: random.Random) -> None:
    """The primary stands still."""
    pair.primary.pause()
    time.sleep(chance.random() * 3 * MAX_AWAY_S)
    pair.primary.resume()


def break_connections(pair: Pair, chance: random.Random) -> None:
    """The connections for commits break, in the middle of a commit that waits for the standby."""
    pair.standby.pause()
    time.sleep(chance.random() * MAX_AWAY_S)
    for (process,) in pair.primary.ask(COMMITS):
        pair.primary.ask("SELECT pg_terminate_backend(%s)", process)
    pair.standby.resume()


def cancel_waits(pair: Pair, chance: random.Random) -> None:
    """Commits stop to wait for the standby, and then both servers end."""
    pair.standby.pause()
    time.sleep(chance.random() * MAX_AWAY_S)
    for (process,) in pair.primary.ask(COMMITS):
        pair.primary.ask("SELECT pg_cancel_backend(%s)", process)
    time.sleep(chance.random() * MAX_AWAY_S)
    pair.standby.resume()


def nothing(pair: Pair, chance: random.Random) -> None:
    """Only the broker is killed."""


STRIKES: dict[str, Strike] = {
    "broker": nothing,
    "primary": kill_primary,
    "standby": kill_standby,
    "both": kill_both,
    "paused primary": pause_primary,
    "broken connections": break_connections,
    "cancelled waits": cancel_waits,
}


def audit(
    pair: Pair,
    url: str,
    strike: Strike,
    workload: str,
    seed: int,
    lives: int,
    max_s: float = 0.5,
    tell: Callable[[Victim], None] = lambda _: None,
) -> Victim:
    """Some lives of a broker in an empty database, each with one strike. tell: called after each life."""
    with connect(url) as connection:
        schema.create(connection)
    victim = Victim(WORKLOADS[workload], url, seed, during=lambda chance: strike(pair, chance))
    for _ in range(lives):
        victim.live(max_s, least=60)
        tell(victim)
        pair.recover()
    victim.finish()
    return victim
