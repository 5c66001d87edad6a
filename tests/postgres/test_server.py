"""The PostgreSQL of the tests: what is committed survives whatever a test does to it."""

from __future__ import annotations

import threading

import psutil
import psycopg
import pytest

from leveret.cluster.database import connect
from tests.postgres.server import Pair


@pytest.mark.parametrize("way", ["fast", "immediate", "kill"])
def test_the_primary_comes_back(way: str, postgres: Pair, database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("CREATE TABLE public.kept (n int)")
        connection.execute("INSERT INTO public.kept VALUES (1)")
        tree = postgres.primary.tree()
        if way == "kill":
            postgres.primary.kill()
        else:
            postgres.primary.stop(way)
        assert psutil.wait_procs(tree, 5)[1] == []
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.recover()
    with connect(database_url) as connection:
        assert connection.execute("SELECT n FROM public.kept").fetchall() == [(1,)]


def test_a_commit_is_on_the_standby(postgres: Pair, database: str, database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("CREATE TABLE public.kept (n int)")
        postgres.standby.pause()
        is_done = threading.Event()

        def insert() -> None:
            connection.execute("INSERT INTO public.kept VALUES (1)")
            is_done.set()

        thread = threading.Thread(target=insert)
        thread.start()
        assert not is_done.wait(0.3)
        postgres.standby.resume()
        thread.join()
        assert is_done.is_set()
    postgres.primary.kill()
    rows = postgres.standby.ask("SELECT n FROM public.kept", database=database)
    assert rows == [(1,)]


def test_a_pause_breaks_nothing(postgres: Pair, database_url: str) -> None:
    with connect(database_url) as connection:
        postgres.primary.pause()
        assert all(each.status() == psutil.STATUS_STOPPED for each in postgres.primary.tree())
        postgres.primary.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)
