"""Connections to the database of a cluster: their settings, and why there is none."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trustme

from leveret.cluster.database import DEAD_S, PASSWORD, PASSWORD_FILE, connect, find_password
from leveret.cluster.errors import ClusterError, NotPrimary
from tests.brokers.process import free_port
from tests.postgres.server import HOST, WITH_PASSWORD, Pair, identity

SECRET = "sEcr3t-πass"
PGPASSWORD = "PGPASSWORD"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No password is known from elsewhere."""
    for name in (PASSWORD, PASSWORD_FILE, PGPASSWORD, "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


@pytest.fixture
def guarded(postgres: Pair, database: str) -> Iterator[str]:
    """The URL of a database, for a user with a password."""
    postgres.primary.ask(f"CREATE ROLE secretive LOGIN PASSWORD '{SECRET}' IN ROLE {WITH_PASSWORD}")
    yield postgres.primary.url(database, "secretive")
    postgres.recover()
    postgres.primary.ask("DROP OWNED BY secretive")
    postgres.primary.ask("DROP ROLE secretive")


# -- settings


def test_settings(postgres: Pair, database: str, database_url: str) -> None:
    changes = {
        "statement_timeout": "1s",
        "lock_timeout": "1s",
        "idle_session_timeout": "1s",
        "default_transaction_isolation": "serializable",
        "search_path": "public",
        "client_encoding": "LATIN1",
    }
    for name, value in changes.items():
        postgres.primary.ask(f"ALTER ROLE leveret IN DATABASE {database} SET {name} = '{value}'")
    with connect(database_url, purpose="a commits") as connection:
        assert connection.autocommit
        for name, value in {
            "application_name": "leveret a commits",
            "search_path": "leveret",
            "transaction_isolation": "read committed",
            "statement_timeout": "0",
            "lock_timeout": "0",
            "idle_session_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "client_encoding": "UTF8",
        }.items():
            assert connection.execute("SELECT current_setting(%s)", (name,)).fetchone() == (value,), name


def option(connection: psycopg.Connection[tuple[object, ...]], level: int, name: int) -> int:
    """An option of the socket of a connection."""
    with socket.socket(fileno=os.dup(connection.fileno())) as client:
        return client.getsockopt(level, name)


def test_a_dead_host_is_noticed(database_url: str) -> None:
    with connect(database_url) as connection:
        assert option(connection, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert option(connection, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_S * 1000
        idle = option(connection, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        interval = option(connection, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        count = option(connection, socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert idle + interval * count == DEAD_S
    with connect(f"{database_url}?tcp_user_timeout=30000") as connection:
        assert option(connection, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_a_slow_server_is_not_dead(postgres: Pair, database_url: str) -> None:
    url = f"{database_url}?tcp_user_timeout=1000&keepalives_idle=1&keepalives_interval=1&keepalives_count=1"
    with connect(url) as connection:
        postgres.primary.pause()
        resuming = threading.Timer(4.0, postgres.primary.resume)  # seconds, several times those above
        resuming.start()
        assert connection.execute("SELECT length(%s)", ("x" * 10_000,)).fetchone() == (10_000,)
        resuming.join()


# -- hosts


def refused(url: str, password: str | None = None) -> str:
    """Why there is no connection, in one line."""
    with pytest.raises(ClusterError) as error:
        connect(url, password)
    text = str(error.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


def test_the_host_that_accepts_writes_is_found(postgres: Pair, database: str) -> None:
    hosts = f"nowhere.invalid,{HOST}:{free_port()},{HOST}:{postgres.standby.port},{HOST}:{postgres.primary.port}"
    with connect(f"postgresql://leveret@{hosts}/{database}") as connection:
        assert connection.info.port == postgres.primary.port


def test_no_host_accepts_writes(postgres: Pair, database: str) -> None:
    standby = postgres.standby.url(database)
    with pytest.raises(NotPrimary, match="it accepts no writes: it is a standby, or default_transaction_read_only is"):
        connect(standby)
    two = standby.replace(f"{HOST}:", f"{HOST}:{free_port()},{HOST}:")
    with pytest.raises(NotPrimary, match=r"connection refused.*; cannot use PostgreSQL at .* it accepts no writes"):
        connect(two)
    with connect(two, may_be_standby=True) as connection:
        assert connection.info.port == postgres.standby.port


def test_a_role_may_be_read_only(postgres: Pair, database: str, database_url: str) -> None:
    postgres.primary.ask(f"ALTER ROLE leveret IN DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(NotPrimary):
        connect(database_url)


def test_unknown_host() -> None:
    text = "cannot use PostgreSQL at nowhere.invalid:5432: the host name is unknown; correct it, or check DNS"
    assert refused("postgresql://leveret@nowhere.invalid/leveret") == text


def test_refused() -> None:
    port = free_port()
    assert refused(f"postgresql://leveret@{HOST}:{port}/leveret") == (
        f"cannot use PostgreSQL at {HOST}:{port}: connection refused; start PostgreSQL there, or correct host and port"
    )


def test_no_socket(tmp_path: Path) -> None:
    assert "there is no such socket" in refused(f"postgresql:///leveret?host={tmp_path}")


def test_nobody_answers() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert "no answer in time" in refused(f"postgresql://leveret@{HOST}:{port}/leveret?connect_timeout=2")


def test_a_stopped_server_does_not_answer(postgres: Pair, database_url: str) -> None:
    postgres.primary.pause()
    assert "no answer in time" in refused(f"{database_url}?connect_timeout=2")


def test_what_answers_is_no_postgresql() -> None:
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        text = refused(f"postgresql://leveret@{HOST}:{listener.getsockname()[1]}/leveret?sslmode=disable")
        assert text.startswith("cannot use PostgreSQL at")
        thread.join()


# -- users, databases and passwords


def test_no_such_database(postgres: Pair) -> None:
    url = postgres.primary.url("nothing")
    assert "it has no database 'nothing'; create it with `createdb`, or correct the URL" in refused(url)


def test_no_such_user(postgres: Pair, database: str) -> None:
    url = postgres.primary.url(database, "nobody")
    assert "it has no user 'nobody'; create it with `createuser`" in refused(url)


def test_no_rights_on_the_database(postgres: Pair, database: str, database_url: str) -> None:
    postgres.primary.ask(f"REVOKE CONNECT ON DATABASE {database} FROM public, leveret")
    assert f"user 'leveret' may not connect to database '{database}'; grant CONNECT on it" in refused(database_url)


def test_too_many_connections(postgres: Pair, database: str, database_url: str) -> None:
    postgres.primary.ask(f"ALTER DATABASE {database} CONNECTION LIMIT 1")
    with connect(database_url):
        assert "it has no connection left" in refused(database_url)


def test_wrong_password(guarded: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "it asks for the password of user 'secretive': put it into a file" in refused(guarded)
    assert "it refused the login of user 'secretive'; correct user name or password" in refused(guarded, f"{SECRET}!")
    assert SECRET not in caplog.text


def test_the_password_is_nowhere(guarded: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with connect(guarded, SECRET) as connection:
        for shown in (repr(connection), connection.info.dsn, repr(connection.info.get_parameters())):
            assert SECRET not in shown
        with pytest.raises(psycopg.Error) as error:
            connection.execute("SELECT nothing")
    assert SECRET not in repr(error.value)
    assert SECRET not in caplog.text


def test_where_a_password_comes_from(guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def works(file: str | None = None) -> bool:
        try:
            connect(guarded, find_password(file)).close()
        except ClusterError:
            return False
        return True

    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{SECRET}\n")
    wrong.write_text("wrong")
    assert not works()
    assert works(str(right))
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(f"*:*:*:secretive:{SECRET}\n")
    pgpass.chmod(0o600)
    assert works()  # each of the next wins over those before
    monkeypatch.setenv(PGPASSWORD, "wrong")
    assert not works()
    monkeypatch.setenv(PASSWORD, SECRET)
    assert works()
    monkeypatch.setenv(PASSWORD_FILE, str(wrong))
    assert not works()
    assert works(str(right))


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"a\0b", b"x" * 5000])
def test_a_password_file_that_is_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(ClusterError, match="must contain the password alone"):
        find_password(str(file))


def test_a_password_file_that_is_missing(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "nothing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ClusterError, match=f"cannot read the password file '.*': {reason}"):
            find_password(str(path))


# -- TLS


@pytest.fixture
def authority(postgres: Pair) -> Iterator[trustme.CA]:
    """A CA with whose certificate for `localhost` the primary speaks TLS."""
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    directory = postgres.primary.directory
    certificate.private_key_pem.write_to_path(str(directory / "server.key"))
    (directory / "server.crt").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    for name in ("server.key", "server.crt"):
        (directory / name).chmod(0o600)
        if identity():
            os.chown(directory / name, identity()["user"], identity()["group"])
    with postgres.primary.having(ssl="on"):
        yield ca


def test_tls_is_verified(postgres: Pair, database: str, authority: trustme.CA, tmp_path: Path) -> None:
    root, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(root))
    trustme.CA().cert_pem.write_to_path(str(other))
    port = postgres.primary.port

    def url(host: str, file: Path) -> str:
        return f"postgresql://leveret@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={file}"

    with connect(url("localhost", root)) as connection:
        assert connection.pgconn.ssl_in_use
    assert "its certificate is for another name" in refused(url(HOST, root))
    assert "its certificate cannot be verified" in refused(url("localhost", other))
    assert "its certificate cannot be verified" in refused(url("localhost", tmp_path / "nothing"))


def test_a_server_without_tls(database_url: str) -> None:
    assert "it does not support TLS" in refused(f"{database_url}?sslmode=require")
