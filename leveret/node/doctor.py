"""Checks for problems of a broker on this machine, before it starts or while it runs.

Each check reports a state and, if necessary, what to change. Checks change nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from leveret.node.api import API_PORT, listen_error
from leveret.node.config import Config
from leveret.node.defaults import DEFAULT_USER
from leveret.node.kinds import OFF_PORT
from leveret.node.monitors.memory import total_memory
from leveret.node.node import build_name, is_compiled
from leveret.node.service_user import ServiceUser, service_user
from leveret.node.trust import Untrusted, check
from leveret.store.database import FILE_NAME
from leveret.store.owner import user_name

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"

FEW_FILES: Final = 4_096
LITTLE_MEMORY: Final = 256 << 20  # bytes
MIB: Final = 1 << 20
TLS_PORT: Final = 5671
LOCAL: Final = ("127.0.0.1", "::1", "localhost")
NETWORK_FILE_SYSTEMS: Final = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "fuse.glusterfs",
    "ceph",
    "vboxsf",
)
TEMPORARY_FILE_SYSTEMS: Final = ("tmpfs", "ramfs", "overlay", "aufs")
OLDEST_TIME_S: Final = 1_735_689_600  # the start of 2025: an earlier time is wrong
NOT_SYNCHRONIZED: Final = 5  # return value of adjtimex(2)
SKEW_S: Final = 60.0  # how far the clock may be behind the last change of the data


@dataclass(frozen=True)
class Finding:
    """The result of a check. status: OK, WARNING or PROBLEM. advice: what to change, or empty."""

    check: str
    status: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Running:
    """A broker that runs on the data directory.

    listeners: as the HTTP API lists them. has_guest: whether guest can log in with the password guest.
    """

    pid: int
    listeners: list[dict[str, Any]]
    has_guest: bool


def look(config: Config, running: Running | None, has_guest: bool | None) -> Iterator[Finding]:
    """Run all checks, in order. has_guest: whether guest can log in with the password guest; None if unknown."""
    directory = Path(config.data_dir)
    yield python()
    yield build()
    if config.cluster:
        yield from database(config)
    elif not config.memory:
        yield data_directory(directory)
        yield file_system(directory)
        yield disk_space(directory, config.disk_free_limit)
    yield open_files(running)
    yield memory()
    yield clock(directory)
    yield from ports(config, running)
    yield from files(config, running)
    yield guest(config, has_guest)


def python() -> Finding:
    """The version of Python."""
    text = f"{platform.python_implementation()} {platform.python_version()}"
    if platform.python_implementation() != "CPython":
        return Finding(
            "python",
            WARNING,
            f"{text}: there are no compiled modules for it",
            "use CPython, which is several times faster",
        )
    return Finding("python", OK, text)


def build() -> Finding:
    """Whether the performance-critical modules are compiled."""
    if is_compiled():
        return Finding("build", OK, build_name())
    return Finding(
        "build", WARNING, f"{build_name()}: several times slower", "install a C compiler, then reinstall Leveret"
    )


def database(config: Config) -> Iterator[Finding]:
    """The database of a cluster, as `leveret cluster check` sees it."""
    try:
        from leveret.cluster import checks, database
        from leveret.cluster.errors import ClusterError
        from leveret.cluster.url import parse
    except ImportError as error:
        advice = "pip install 'leveret[cluster]'"
        yield Finding("database", PROBLEM, f"the client of PostgreSQL is missing ({error})", advice)
        return
    try:
        place = parse(config.cluster)
        password = database.find_password(config.cluster_password_file or None)
        with database.connect(place, password, "doctor") as connection:
            found = checks.check(connection, place)
    except ClusterError as error:
        yield Finding("database", PROBLEM, str(error), "try `leveret cluster check` with its URL")
        return
    states = {checks.Level.ERROR: PROBLEM, checks.Level.WARNING: WARNING}
    for each in found:
        yield Finding("database", states.get(each.level, OK), each.text, each.advice)
    if not found:
        yield Finding("database", OK, f"{place} keeps what is confirmed")


def existing(directory: Path) -> Path:
    """The directory, or its closest existing parent."""
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def data_directory(directory: Path) -> Finding:
    """Owner and permissions of the data directory."""
    name = "data directory"
    if not directory.exists():
        parent = existing(directory)
        if not os.access(parent, os.W_OK | os.X_OK):
            return Finding(
                name,
                PROBLEM,
                f"'{directory}' cannot be created in '{parent}'",
                "choose another directory with --data-dir",
            )
        return Finding(name, OK, f"'{directory}' does not exist; the first start creates it")
    try:
        check(directory, may_be_foreign=False)
    except Untrusted as error:
        if not error.is_foreign or os.geteuid() != 0:
            advice = "start the broker as that user" if error.is_foreign else "remove that permission with chmod"
            return Finding(name, PROBLEM, str(error), advice)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        owner = user_name(directory.stat().st_uid)
        return Finding(name, PROBLEM, f"this user cannot access '{directory}'", f"start the broker as {owner}")
    return _mode(name, directory)


def _mode(name: str, directory: Path) -> Finding:
    found = directory.stat()
    owner = user_name(found.st_uid)
    database = directory / FILE_NAME
    with contextlib.suppress(OSError):
        inner = database.stat()
        if inner.st_uid != found.st_uid:
            text = f"'{database}' belongs to {user_name(inner.st_uid)}, but its directory belongs to {owner}"
            return Finding(name, PROBLEM, text, "with chown, give both to the user who runs the broker")
        if stat.S_IMODE(inner.st_mode) & 0o077:
            return Finding(
                name, WARNING, f"other users can read '{database}'", "the next start removes that permission"
            )
    return Finding(name, OK, f"'{directory}' belongs to {owner}")


def kind_of(directory: Path) -> str:
    """The type of the file system that a directory is on; empty if unknown."""
    place = Path(os.path.realpath(existing(directory)))
    around = [each for each in psutil.disk_partitions(all=True) if place.is_relative_to(each.mountpoint)]
    return max(around, key=lambda each: len(each.mountpoint)).fstype if around else ""


def file_system(directory: Path) -> Finding:
    """The type of file system that the data is on."""
    kind = kind_of(directory)
    if kind in NETWORK_FILE_SYSTEMS:
        text = f"{kind} is a network file system: locks and syncs may not be reliable"
        return Finding("file system", PROBLEM, text, "choose a directory on a disk of this machine with --data-dir")
    if kind in TEMPORARY_FILE_SYSTEMS:
        text = f"{kind}: data may be lost when the machine or container restarts"
        return Finding("file system", WARNING, text, "choose a directory on a disk or volume with --data-dir")
    return Finding("file system", OK, kind or "unknown")


def disk_space(directory: Path, limit: int) -> Finding:
    """Whether there is enough free disk space."""
    try:
        usage = shutil.disk_usage(existing(directory))
    except OSError as error:
        return Finding("disk space", WARNING, f"unknown: {error.strerror}")
    text = f"{usage.free // MIB:,} MiB of {usage.total // MIB:,} MiB free"
    if usage.free < limit:
        less = f"{text}, less than disk-free-limit, {limit // MIB:,} MiB: the broker blocks publishers"
        return Finding("disk space", PROBLEM, less, "free disk space")
    if usage.free < 4 * limit:
        return Finding(
            "disk space", WARNING, text, f"free disk space: below {limit // MIB:,} MiB the broker blocks publishers"
        )
    return Finding("disk space", OK, text)


def open_files(running: Running | None) -> Finding:
    """The limit of open files and sockets."""
    name = "open files"
    whose, limit = "this user", 0
    with contextlib.suppress(ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit = sys.maxsize if limit == resource.RLIM_INFINITY else limit
    if running is not None:
        with contextlib.suppress(psutil.Error, AttributeError):  # only Linux reports limits of other processes
            found, _ = psutil.Process(running.pid).rlimit(psutil.RLIMIT_NOFILE)
            whose, limit = "the broker", sys.maxsize if found == psutil.RLIM_INFINITY else found
    text = f"{whose} can open {'any number of' if limit == sys.maxsize else f'{limit:,}'} files and sockets"
    if limit and limit < FEW_FILES:
        advice = (
            f"each client needs one: before the start, set `ulimit -n {FEW_FILES * 16}`, or LimitNOFILE= in systemd"
        )
        return Finding(name, WARNING, text, advice)
    return Finding(name, OK, text)


def memory() -> Finding:
    """The memory of the machine, or the limit of the container."""
    found = total_memory()
    if not found:
        return Finding("memory", WARNING, "the system does not report how much there is", "set memory-budget")
    text = f"{found // MIB:,} MiB available to the broker"
    if found < LITTLE_MEMORY:
        return Finding("memory", WARNING, text, f"give the machine or container at least {LITTLE_MEMORY // MIB} MiB")
    return Finding("memory", OK, text)


def clock(directory: Path) -> Finding:
    """Whether the clock is plausible and synchronized."""
    now_s = time.time()
    if now_s < OLDEST_TIME_S:
        return Finding("clock", PROBLEM, f"the time is {time.ctime(now_s)}", "set the clock")
    with contextlib.suppress(OSError):
        written_s = (directory / FILE_NAME).stat().st_mtime
        if written_s > now_s + SKEW_S:
            text = f"the clock is {written_s - now_s:.0f} s behind the last change of the data"
            return Finding("clock", PROBLEM, text, "set the clock: otherwise messages expire too late")
    if _is_synchronized() is False:
        return Finding("clock", WARNING, "not synchronized", "run chrony or systemd-timesyncd")
    return Finding("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now_s)))


def _is_synchronized() -> bool | None:
    """Whether the clock is synchronized, by adjtimex(2); None if unknown."""
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else bool(answer != NOT_SYNCHRONIZED)


def ports(config: Config, running: Running | None) -> Iterator[Finding]:
    """Whether the ports are free or, if the broker runs, whether it answers on them."""
    if running is not None:
        for each in running.listeners:
            yield _answering(each["protocol"], each["ip_address"], each["port"])
        return
    wanted = [("port", config.host, config.port)]
    if config.tls_certificate:
        wanted.append(("tls-port", config.host, TLS_PORT if config.tls_port is None else config.tls_port))
    host = config.management_host or config.host
    if config.management_port != OFF_PORT:
        wanted.append(("management-port", host, API_PORT if config.management_port is None else config.management_port))
    if config.metrics_port is not None and config.metrics_port != OFF_PORT:
        wanted.append(("metrics-port", host, config.metrics_port))
    for option, host, port in wanted:
        yield _free(option, host, port)


def _answering(protocol: str, host: str, port: int) -> Finding:
    name = f"port {port}"
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((local, port), 2.0).close()
    except OSError as error:
        text = f"no answer for {protocol}: {error.strerror or error}"
        return Finding(name, PROBLEM, text, "check the broker's log and the firewall")
    return Finding(name, OK, f"the broker answers for {protocol}")


def _free(option: str, host: str, port: int) -> Finding:
    name = f"port {port}" if port else option
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address, family=family):
            pass
    except (OSError, UnicodeError) as error:
        text, _, advice = listen_error(host, port, option, error).partition("; ")
        return Finding(name, PROBLEM, text, advice)
    return Finding(name, OK, f"free on {host}, for the setting {option}")


def files(config: Config, running: Running | None) -> Iterator[Finding]:
    """Whether the user who runs the broker can use the TLS files and the password file, and who else can."""
    found = [config.tls_certificate, config.tls_key, config.tls_ca, config.cluster_password_file]
    if running is not None and any(path and not os.path.isabs(path) for path in found):
        return  # they are relative to the directory of the broker
    user = service_user(None if config.memory else Path(config.data_dir))
    if config.tls_certificate:
        yield _tls(config, user)
        yield from _secret("TLS key", config.tls_key or config.tls_certificate, user)
    if config.cluster_password_file:
        yield _password(config.cluster_password_file, user)
        yield from _secret("password file", config.cluster_password_file, user)


def _tls(config: Config, user: ServiceUser) -> Finding:
    from leveret.node.tls import TlsError, make_context

    name = "TLS files"
    try:
        with user.acting():
            make_context(config)
    except TlsError as error:
        text, _, advice = str(error).partition("; ")
        if isinstance(error.__context__, PermissionError):
            return Finding(name, PROBLEM, f"{user.name} {text}", _let_read(user))
        return Finding(name, PROBLEM, text, advice)
    except OSError as error:
        return _unknown(name, user, error)
    return Finding(name, OK, f"{user.name} can use the certificate and the key")


def _password(path: str, user: ServiceUser) -> Finding:
    name = "password file"
    try:
        with user.acting():
            Path(path).read_bytes()
    except OSError as error:
        if error.filename is None:
            return _unknown(name, user, error)
        advice = _let_read(user) if isinstance(error, PermissionError) else "check cluster-password-file"
        return Finding(name, PROBLEM, f"{user.name} cannot read {path}: {error.strerror}", advice)
    return Finding(name, OK, f"{user.name} can read {path}")


def _let_read(user: ServiceUser) -> str:
    return f"let {user.name} read it with chgrp and chmod 640, and enter the directories above it"


def _unknown(name: str, user: ServiceUser, error: OSError) -> Finding:
    return Finding(name, OK, f"unknown: root cannot take the rights of {user.name} here: {error.strerror}")


def _secret(name: str, path: str, user: ServiceUser) -> Iterator[Finding]:
    """A warning if users other than the one who runs the broker can read a file. Root can read every file."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        if found.st_mode & stat.S_IROTH:
            yield Finding(name, WARNING, f"every user can read {path}", f"run `chmod o-rwx {path}`")
        elif found.st_mode & stat.S_IRGRP and found.st_gid not in (0, *user.groups):
            text = f"a group that {user.name} is not in can read {path}"
            yield Finding(name, WARNING, text, f"run `chmod g-rwx {path}`")
        elif user.is_guess and found.st_uid == 0 and not (found.st_mode & stat.S_IRGRP and found.st_gid):
            advice = f"if the service has a user of its own, let it read {path} with chgrp and chmod 640"
            yield Finding(name, WARNING, f"only root can read {path}", advice)


def guest(config: Config, has_guest: bool | None) -> Finding:
    """Whether guest can log in with its default password."""
    name = "guest"
    if has_guest is None:
        return Finding(name, OK, "unknown: there is no data, or it cannot be read")
    if not has_guest:
        return Finding(name, OK, "guest cannot log in with the password guest")
    if DEFAULT_USER in config.loopback_users:
        return Finding(name, OK, "guest can log in with the password guest, from this machine only")
    is_open = config.host not in LOCAL
    text = f"guest can log in with the password guest, from {'anywhere' if is_open else 'this machine'}"
    if not is_open:
        return Finding(name, WARNING, text, "change the password of guest before the broker listens on other addresses")
    return Finding(name, PROBLEM, text, "run `leveret users password guest`, or add guest to loopback-users")
