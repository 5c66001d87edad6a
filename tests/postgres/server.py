"""PostgreSQL for tests: servers on free ports of 127.0.0.1, in a temporary directory, as a user who is not root.

`Server` is one process tree, `Pair` a primary with a synchronous standby: what the primary commits is on both. Their
administrator is the role `postgres`; `leveret`, who owns the databases of tests, has no special rights. Both log in
without a password; members of the role `with_password` need one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from tests.brokers.process import free_port

VARIABLE = "LEVERET_TEST_POSTGRES"  # the directory of the programs, instead of the usual ones
EXPECTED = "LEVERET_TEST_EXPECT_POSTGRES"
HOST = "127.0.0.1"
ADMINISTRATOR = "postgres"
USER = "leveret"
WITH_PASSWORD = "with_password"
STANDBY = "standby"
PATIENCE_S = 60.0
PAUSE_S = 0.02

SETTINGS = {
    "listen_addresses": f"'{HOST}'",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_keep_size": "1GB",  # so that a standby that was away finds what it has missed
    "wal_retrieve_retry_interval": "200ms",  # so that a standby is back soon
    "dynamic_shared_memory_type": "mmap",  # in the directory, where a killed server leaves nothing for others
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "'UTC'",
}
RULES = f"""\
local all all trust
host all +{WITH_PASSWORD} {HOST}/32 scram-sha-256
host all,replication all {HOST}/32 trust
"""


def programs() -> Path | None:
    """The directory of initdb and postgres: what the variable names, or else in PATH, or Debian's newest."""
    given, found = os.environ.get(VARIABLE), shutil.which("postgres")
    if given:
        places = [Path(given)]
    else:
        places = [] if found is None else [Path(found).resolve().parent]
        places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return next((each for each in places if (each / "initdb").exists() and (each / "postgres").exists()), None)


def _version(place: Path) -> float:
    return float(place.parent.name) if re.fullmatch(r"[\d.]+", place.parent.name) else 0.0


@functools.cache
def identity() -> dict[str, Any]:
    """Arguments of subprocess that make a process not root's: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("there is neither a user 'postgres' nor 'nobody'")


def eventually(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(PAUSE_S)


class Server:
    """One PostgreSQL server. directory: its data, a subdirectory of a directory that belongs to its user."""

    def __init__(self, place: Path, directory: Path) -> None:
        self.directory = directory
        self.log = directory.with_suffix(".log")
        self.port = free_port(HOST)
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process:
        """The postmaster, which must have been started."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def is_running(self) -> bool:
        """Whether its postmaster runs, or is stopped by a signal."""
        return self._process is not None and self._process.poll() is None

    def initialize(self, *options: str) -> None:
        """Make its data. options: of initdb."""
        self.run("initdb", "-D", str(self.directory), "--no-sync", "--no-instructions", "--wal-segsize=4", "-U",
                 ADMINISTRATOR, "-A", "trust", "-E", "UTF8", "--no-locale", *options)  # fmt: skip
        self.configure(**SETTINGS)
        (self.directory / "pg_hba.conf").write_text(RULES)

    def configure(self, **settings: str) -> None:
        """Change postgresql.conf, which a start or set() reads. Values that are texts need quotes."""
        with (self.directory / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the server's user. Returns: its output."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(self._place / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory.parent,
            **identity(),
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def start(self, wait: bool = True, **settings: str) -> None:
        """Start it at its port. settings: names and values that hold until it stops."""
        assert not self.is_running
        given = {"port": str(self.port), "unix_socket_directories": str(self.directory.parent), **settings}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._place / "postgres"), "-D", str(self.directory), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory.parent,
                start_new_session=True,
                **identity(),
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it admits clients, also as a standby."""
        eventually(self._is_ready, f"PostgreSQL is ready; see {self.log}")

    def _is_ready(self) -> bool:
        assert self.is_running, f"PostgreSQL has ended: {self.log.read_text()[-2000:]}"
        try:
            lines = (self.directory / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def stop(self, mode: str = "fast") -> None:
        """End it in order. mode: as of pg_ctl, smart, fast or immediate."""
        if self.is_running:
            self.resume()
            signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self.process.send_signal(signals[mode])
        self._wait_end()

    def kill(self) -> None:
        """End the whole process tree at once with SIGKILL, as a power cut does but for what the system has buffered."""
        if self.is_running:
            self.process.send_signal(signal.SIGSTOP)  # it starts no more processes
            for each in self.tree():
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        self._wait_end()

    def _wait_end(self) -> None:
        if self._process is not None:
            self._process.wait(PATIENCE_S)
            self._process = None

    def tree(self) -> list[psutil.Process]:
        """Its processes: the children, and the postmaster at the end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [*self.process.children(recursive=True), self.process]
        return []

    def pause(self) -> None:
        """Stop all its processes, until resume(). Its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)
        for each in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after pause()."""
        for each in reversed(self.tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)

    def url(self, database: str, user: str = USER) -> str:
        """The URL of a database."""
        return f"postgresql://{user}@{HOST}:{self.port}/{database}"

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the administrator, which commits each statement."""
        url = self.url(database, ADMINISTRATOR)
        return psycopg.connect(url, autocommit=True, connect_timeout=5, **options)

    def ask(self, statement: Any, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of a statement of the administrator, on a connection of its own; none if it returns none."""
        with self.connect(database) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def wait_answers(self) -> None:
        """Wait until it answers, however often it refuses or breaks connections before."""
        eventually(self._answers, f"PostgreSQL answers; see {self.log}")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.Error):
            return bool(self.ask("SELECT 1"))
        return False

    def set(self, **settings: str | None) -> None:
        """Change settings that need no restart, for all sessions at once. None: what postgresql.conf has."""
        with self.connect() as connection:
            for name, value in settings.items():
                change = sql.SQL("RESET {}") if value is None else sql.SQL("SET {} = {}")
                connection.execute(sql.SQL("ALTER SYSTEM ") + change.format(sql.Identifier(name), sql.Literal(value)))
            before = connection.execute("SELECT pg_conf_load_time()").fetchone()
            connection.execute("SELECT pg_reload_conf()")

            def is_loaded() -> bool:
                return connection.execute("SELECT pg_conf_load_time()").fetchone() != before

            eventually(is_loaded, "the settings are loaded")

    @contextlib.contextmanager
    def having(self, **settings: str) -> Iterator[None]:
        """Settings that hold inside a block."""
        self.set(**settings)
        try:
            yield
        finally:
            self.set(**dict.fromkeys(settings))

    def promote(self) -> None:
        """Make a standby accept writes."""
        self.run("pg_ctl", "promote", "-D", str(self.directory), "-w")


class Pair:
    """A primary and its synchronous standby. Databases of tests live until drop() or the end."""

    def __init__(self, place: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="leveret-postgres-"))
        self.primary = Server(place, self.directory / "primary")
        self.standby = Server(place, self.directory / STANDBY)
        self._numbers = itertools.count(1)
        if identity():
            os.chown(self.directory, identity()["user"], identity()["group"])

    def start(self) -> None:
        """Make both and start them; the standby is a copy of the primary."""
        self.primary.initialize()
        self.primary.start()
        with self.primary.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(USER)))
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(WITH_PASSWORD)))
        source = f"host={HOST} port={self.primary.port} user={ADMINISTRATOR} application_name={STANDBY}"
        self.standby.run("pg_basebackup", "-d", source, "-D", str(self.standby.directory), "--write-recovery-conf",
                         "--checkpoint=fast", "--no-sync", "--wal-method=stream")  # fmt: skip
        self.standby.start()
        self.wait_streaming()
        self.primary.configure(synchronous_standby_names=f"'{STANDBY}'")
        self.primary.set()
        self.wait_synchronous()

    def wait_streaming(self) -> None:
        """Wait until the standby follows the primary."""
        eventually(lambda: self._standbys("state") == ["streaming"], "the standby follows")

    def wait_synchronous(self) -> None:
        """Wait until each commit waits for the standby."""
        eventually(lambda: self._standbys("sync_state") in (["sync"], ["quorum"]), "the standby is synchronous")

    def _standbys(self, column: str) -> list[Any]:
        with contextlib.suppress(psycopg.Error):
            rows = self.primary.ask(
                sql.SQL("SELECT {} FROM pg_stat_replication WHERE application_name = %s").format(
                    sql.Identifier(column)
                ),
                STANDBY,
            )
            return [row[0] for row in rows]
        return []

    def recover(self) -> None:
        """Have both run and the standby be synchronous, whatever a test has done to their processes."""
        for each in (self.primary, self.standby):
            if each.is_running:
                each.resume()
            else:
                each.start(wait=False)
        for each in (self.primary, self.standby):
            each.wait_ready()
        self.wait_synchronous()

    def new_database(self, owner: str = USER, **options: str) -> str:
        """Create an empty database, also on the standby. options: encoding, template. Returns: its name."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        more = [sql.SQL(f"{option} = ") + sql.Literal(value) for option, value in options.items()]
        statement = sql.SQL("CREATE DATABASE {} OWNER = {} ").format(sql.Identifier(name), sql.Identifier(owner))
        with self.primary.connect(options="-c synchronous_commit=remote_apply") as connection:
            connection.execute(statement + sql.SQL(" ").join(more))
        return name

    def drop(self, name: str) -> None:
        """Drop a database, with its connections."""
        self.primary.ask(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """End both and remove their data."""
        for each in (self.primary, self.standby):
            each.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)
