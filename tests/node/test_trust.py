"""What others have prepared: links, pipes, sockets and directories, in the way of a command or of a broker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from leveret.node.config import Config
from leveret.node.doctor import files
from leveret.store.files import make_anew, replacing
from leveret.store.rescue.salvage import open_database
from tests.brokers.process import Server
from tests.clients.command_line import good, leveret, process, refused, surroundings

NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="this needs root, to act for another user")


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="leveret-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def data(place: Path) -> Path:
    """A data directory of this user."""
    data = place / "data"
    good(leveret("users", "delete", "guest", "--data-dir", str(data)))
    return data


@pytest.fixture
def foreign(data: Path) -> Path:
    """A data directory of another user."""
    for path in (data, *data.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    return data


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


# -- files


def test_a_planted_link_is_not_followed(data: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.touch(0o666)
    work = tmp_path / "work"
    work.mkdir()
    (work / ".out.json.part").symlink_to(trap)
    assert good(leveret("definitions", "export", str(work / "out.json"), "--data-dir", str(data))).startswith(
        "Exported"
    )
    assert (trap.read_bytes(), mode(trap)) == (b"", 0o666)
    assert not (work / "out.json").is_symlink()
    assert mode(work / "out.json") == 0o600
    assert names(work) == [".out.json.part", "out.json"]


def test_a_file_that_others_may_read_is_replaced_by_one_that_they_may_not(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.touch(0o666)
    with file.open() as read_before:
        good(leveret("definitions", "export", str(file), "--data-dir", str(data)))
        assert read_before.read() == ""  # whoever had it open sees nothing of it
    assert mode(file) == 0o600
    assert json.loads(file.read_text())["users"] == []


def test_a_link_of_ones_own_stays_and_leads_to_the_new_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    link = tmp_path / "link"
    for target in ("deep/file", str(tmp_path / "deep" / "other")):
        link.symlink_to(target)
        good(leveret("definitions", "export", str(link), "--data-dir", str(data)))
        assert link.is_symlink()
        assert json.loads((tmp_path / target).read_text())["users"] == []
        link.unlink()
    link.symlink_to(link)
    assert refused(leveret("definitions", "export", str(link), "--data-dir", str(data))) == (
        f"cannot write {link}: Too many levels of symbolic links"
    )


@as_root
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_and_a_pipe_of_another_user_are_refused(kind: str, data: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    file = tmp_path / "out"
    if kind == "link":
        file.symlink_to(trap)
    else:
        os.mkfifo(file)
    os.lchown(file, NOBODY, NOBODY)
    text = f"cannot write {file}: it is a link or a pipe of another user"
    assert refused(leveret("definitions", "export", str(file), "--data-dir", str(data))) == text
    told = process("serve", "--memory", "--port", "0", "--record", str(file))
    assert (told.returncode, text in told.stderr) == (2, True)
    assert not trap.exists()


def test_a_pipe_of_ones_own_and_standard_output_are_written_as_they_are(data: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    good(process("definitions", "export", str(pipe), "--data-dir", str(data)))
    reader.join(60)
    assert json.loads(found[0])["users"] == []
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    good(process("definitions", "export", "/dev/null", "--data-dir", str(data)))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert '"users": []' in good(process("definitions", "export", "/dev/stdout", "--data-dir", str(data)))
    with (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-m", "leveret", "definitions", "export", "/dev/stdout", "--data-dir", str(data)]
        subprocess.run(command, stdout=out, check=True, env=surroundings())
    assert (tmp_path / "out").stat().st_size > 0


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with pytest.raises(ValueError, match="closed file"), replacing(file) as out:
        out.write(b"new"), out.close()
    assert (file.read_bytes(), names(tmp_path)) == (b"old", ["file"])
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "directory"):
        pass
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nowhere" / "file"):
        pass
    assert names(tmp_path) == ["directory", "file"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="this needs root and mount")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(data: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        (small / "out").write_bytes(b"old")
        (small / "filler").write_bytes(bytes(58_000))
        good(leveret("parameters", "set", "shovel", "a", json.dumps("x" * 20_000), "--data-dir", str(data)))
        text = refused(leveret("definitions", "export", str(small / "out"), "--data-dir", str(data)))
        assert text == f"cannot write {small / 'out'}: No space left on device"
        assert ((small / "out").read_bytes(), names(small)) == (b"old", ["filler", "out"])
        text = refused(leveret("backup", str(small / "copy"), "--data-dir", str(data)))
        assert text == f"cannot write the copy to '{small / 'copy'}': database or disk is full"
        assert names(small / "copy") == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_recording_is_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    file.write_bytes(b"old")
    file.chmod(0o666)
    with file.open("rb") as read_before, os.fdopen(make_anew(file), "wb") as out:
        out.write(b"new")
        out.flush()
        assert (file.read_bytes(), read_before.read()) == (b"new", b"old")
    assert (mode(file), names(tmp_path)) == (0o600, ["recording"])


@pytest.mark.parametrize("name", ["leveret.lock", "leveret.db", "space-reserve"])
def test_a_link_in_a_data_directory_is_not_followed(name: str, data: Path, tmp_path: Path) -> None:
    content = (data / "leveret.db").read_bytes()
    trap = tmp_path / "trap"
    trap.write_bytes(content)
    trap.chmod(0o666)
    (data / name).unlink(missing_ok=True)
    (data / name).symlink_to(trap)
    if name == "space-reserve":
        server = Server.start("--data-dir", str(data))
        assert server.stop() == 0
    else:
        text = refused(leveret("users", "add", "a", "x", "--data-dir", str(data)))
        assert text == f"cannot use data directory {data}: {name} is a symbolic link; choose another with --data-dir"
    assert (trap.read_bytes(), mode(trap)) == (content, 0o666)


def test_a_killed_process_leaves_no_certificate_behind(tmp_path: Path) -> None:
    source = (
        "import leveret, os, signal, ssl\n"
        "broker = leveret.Broker(tls=True)\n"
        "broker.start()\n"
        "ssl.create_default_context(cafile=str(broker.ca_file))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", source]
    killed = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=60, check=False)
    assert (killed.returncode, names(tmp_path)) == (-9, [])


# -- directories


@as_root
def test_a_directory_that_was_only_found(foreign: Path) -> None:
    found = foreign.rename(foreign.parent / "leveret-data")
    text = refused(process("users", "add", "alice", "secret", prepare=lambda: os.chdir(found.parent)))
    assert text == (
        "'leveret-data' belongs to the user 'nobody', and was not named explicitly; to use it, give "
        "--data-dir leveret-data"
    )
    good(
        process("users", "add", "alice", "secret", "--data-dir", "leveret-data", prepare=lambda: os.chdir(found.parent))
    )
    mine = found.parent / "mine"
    mine.mkdir(0o755)
    (mine / "leveret-data").symlink_to("../own")
    good(leveret("users", "add", "bob", "x", "--data-dir", str(found.parent / "own")))
    good(process("users", "list", prepare=lambda: os.chdir(mine)))
    os.lchown(mine / "leveret-data", NOBODY, NOBODY)  # somebody else says which of ours it is
    assert "belongs to the user 'nobody'" in refused(process("users", "list", prepare=lambda: os.chdir(mine)))


@as_root
def test_root_leaves_nothing_of_its_own_in_the_directory_of_another_user(foreign: Path, place: Path) -> None:
    trap = place / "trap"
    trap.write_bytes(b"precious")
    trap.chmod(0o640)
    for path in foreign.iterdir():
        if path.name != "leveret.db":
            path.unlink()
    good(leveret("users", "add", "alice", "x", "--data-dir", str(foreign)))
    assert {path.stat().st_uid for path in foreign.iterdir()} == {NOBODY}
    (foreign / "leveret.lock").unlink()
    (foreign / "leveret.lock").symlink_to(trap)
    for words in (("users", "list"), ("users", "add", "bob", "x"), ("messages", "export", "q"), ("check",)):
        leveret(*words, "--data-dir", str(foreign))
    assert (mode(trap), trap.stat().st_uid) == (0o640, 0)
    (foreign / "leveret.lock").unlink()
    file = place / "out"
    leveret("messages", "export", "q", str(file), "--data-dir", str(foreign))
    assert leveret("definitions", "export", str(file), "--data-dir", str(foreign)).returncode == 0
    good(leveret("backup", str(place / "copy"), "--data-dir", str(foreign)))
    assert [(path.stat().st_uid, mode(path)) for path in (file, place / "copy" / "leveret.db")] == [(0, 0o600)] * 2
    assert os.geteuid() == os.getegid() == 0
    place.chmod(0o700)
    text = refused(leveret("users", "list", "--data-dir", str(foreign)))
    assert text.endswith("it belongs to the user 'nobody', who cannot get there; let that user pass, or move it")


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this needs setpriv")
def test_root_administers_the_broker_of_another_user(foreign: Path) -> None:
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-m", "leveret"]
    try:
        subprocess.run([*command, "--version"], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("another user cannot run this Python or read these sources")
    with subprocess.Popen(
        [*command, "serve", "--port", "0", "--data-dir", str(foreign)], stdout=subprocess.PIPE, text=True
    ) as broker:
        assert broker.stdout is not None
        assert "ready on" in broker.stdout.readline()
        good(leveret("users", "add", "alice", "x", "--data-dir", str(foreign)))
        assert "alice" in good(leveret("users", "list", "--control", str(foreign / "control.sock")))
        broker.terminate()
        assert broker.wait(60) == 0


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this needs setpriv")
def test_a_directory_that_was_taken_from_its_broker(data: Path, place: Path) -> None:
    """The stop says what it cannot remove, and closes the data properly."""
    log = place / "log"
    powers = "-dac_override,-dac_read_search"  # without them, the rights of files apply to root too
    command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", sys.executable, "-m", "leveret", "serve"]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, "--port", "0", "--management-port", "off", "--data-dir", str(data)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as broker,
    ):
        assert broker.stdout is not None
        assert "ready on" in broker.stdout.readline()
        os.chown(data, NOBODY, NOBODY)
        data.chmod(0o755)
        broker.terminate()
        assert broker.wait(60) == 0
    said = f"cannot remove {data / 'control.sock'}: Permission denied; the next start replaces it"
    (line,) = log.read_text().splitlines()
    assert line.endswith(said)
    os.chown(data, 0, 0)
    store = open_database(data)
    was_clean = store.was_clean
    store.close(None)
    assert was_clean


def test_a_directory_that_everybody_may_write_to(data: Path) -> None:
    data.chmod(0o777)
    told = process("serve", "--port", "0", "--data-dir", str(data))
    assert (told.returncode, told.stderr) == (
        2,
        f"leveret: any user can write to '{data}'; change that with chmod, choose another directory, or use "
        "--trust-data-dir\n",
    )
    advice = "change that with chmod, or set LEVERET_TRUST_DATA_DIR=true to use it anyway"
    for words in (("users", "list"), ("check",), ("backup", f"{data}-copy")):
        assert refused(leveret(*words, "--data-dir", str(data))) == f"any user can write to '{data}'; {advice}"
        good(leveret(*words, "--data-dir", str(data), LEVERET_TRUST_DATA_DIR="true"))
    server = Server.start("--data-dir", str(data), "--trust-data-dir")
    good(leveret("users", "list", "--data-dir", str(data), LEVERET_TRUST_DATA_DIR="on"))
    assert server.stop() == 0
    data.chmod(0o775)  # its owner has let a group in
    good(leveret("users", "list", "--data-dir", str(data)))
    data.parent.chmod(0o777)
    told = process("serve", "--port", "0", "--data-dir", str(data))
    assert told.stderr.startswith(
        f"leveret: any user can replace '{data}', because any user can write to '{data.parent}'; "
    )
    data.parent.chmod(0o1777)
    good(leveret("users", "list", "--data-dir", str(data)))


@as_root
def test_a_directory_of_another_user(foreign: Path, tmp_path: Path) -> None:
    told = process("serve", "--port", "0", "--data-dir", str(foreign))
    assert (told.returncode, told.stderr) == (
        2,
        f"leveret: '{foreign}' belongs to the user 'nobody'; start the broker as that user, choose another directory, "
        "or use --trust-data-dir\n",
    )
    good(leveret("users", "list", "--data-dir", str(foreign)))
    foreign.chmod(0o770)
    text = refused(leveret("users", "list", "--data-dir", str(foreign)))
    assert text.startswith(f"'{foreign}' belongs to the user 'nobody', and a group can write to it; ")
    foreign.chmod(0o755)
    own = tmp_path / "own"
    good(leveret("users", "add", "a", "x", "--data-dir", str(own)))
    target = foreign.parent / "target"
    target.mkdir(0o755)
    os.chown(target, NOBODY, NOBODY)
    text = refused(leveret("backup", str(target), "--data-dir", str(own)))
    assert text.startswith(f"'{target}' belongs to the user 'nobody'; choose another directory for the copy")
    assert names(target) == []


# -- sockets


@as_root
@pytest.mark.parametrize("is_named", [False, True])
def test_nothing_is_sent_to_the_socket_of_a_stranger(is_named: bool, data: Path, place: Path) -> None:
    trap = place / "trap"
    trap.mkdir(mode=0o777)
    trap.chmod(0o1777)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(trap / "x.sock"))
        os.seteuid(NOBODY)
        try:
            listener.listen()  # whose socket it is counts from here on
        finally:
            os.seteuid(0)
        (data / "control.path").write_text(f"{trap / 'x.sock'}\n")
        where = ("--control", str(trap / "x.sock")) if is_named else ("--data-dir", str(data))
        text = refused(leveret("users", "add", "alice", "secret", *where))
        source = trap if is_named else data
        assert text == (
            f"the user 'nobody' listens on {trap / 'x.sock'}, but does not own '{source}'; nothing was sent there"
        )
        listener.settimeout(10)
        client = listener.accept()[0]
        assert client.recv(1000) == b""
        client.close()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"/nowhere\n", b"x" * 5000, None])
def test_a_pointer_that_leads_nowhere(content: bytes | None, data: Path) -> None:
    if content is None:
        os.mkfifo(data / "control.path")
    else:
        (data / "control.path").write_bytes(content)
    good(leveret("users", "list", "--data-dir", str(data)))


# -- files that the broker needs


@as_root
def test_the_doctor_reads_the_files_of_tls_as_the_owner_of_the_data(foreign: Path, place: Path) -> None:
    certificate, key = place / "cert.pem", place / "key.pem"
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    certificate.chmod(0o644)
    options = {"LEVERET_TLS_CERTIFICATE": str(certificate), "LEVERET_TLS_KEY": str(key)}
    fine = "the user 'nobody' can use the certificate and the key"
    kept = f"the user 'nobody' cannot read {key}: Permission denied"
    group, other = 12_345, f"a group that the user 'nobody' is not in can read {key}"
    for owner, of_group, rights, status, text, warning in (
        (0, 0, 0o640, "problem", kept, ""),
        (0, NOBODY, 0o640, "ok", fine, ""),
        (NOBODY, 0, 0o640, "ok", fine, ""),
        (NOBODY, NOBODY, 0o600, "ok", fine, ""),
        (NOBODY, group, 0o640, "ok", fine, other),
        (0, 0, 0o644, "ok", fine, f"every user can read {key}"),
    ):
        os.chown(key, owner, of_group)
        key.chmod(rights)
        found = diagnosed(foreign, **options)
        assert (found["TLS files"]["status"], found["TLS files"]["text"]) == (status, text)
        assert found.get("TLS key", {"text": ""})["text"] == warning
    key.chmod(0o600)
    absent = diagnosed(place / "absent", **options)
    assert (absent["TLS files"]["status"], absent["TLS key"]["text"]) == ("ok", f"only root can read {key}")
    os.chown(key, NOBODY, NOBODY)
    hidden = place / "hidden"
    hidden.mkdir(0o700)
    key.rename(hidden / "key.pem")
    found = diagnosed(foreign, **{**options, "LEVERET_TLS_KEY": str(hidden / "key.pem")})
    assert found["TLS files"]["status"] == "problem"
    assert "enter the directories above it" in found["TLS files"]["advice"]


@as_root
def test_the_doctor_reads_the_password_file_as_the_owner_of_the_data(foreign: Path, place: Path) -> None:
    file = place / "password"
    file.write_text("secret\n")
    for rights, texts in (
        (0o640, [f"the user 'nobody' cannot read {file}: Permission denied"]),
        (0o644, [f"the user 'nobody' can read {file}", f"every user can read {file}"]),
    ):
        file.chmod(rights)
        config = Config(data_dir=str(foreign), cluster="postgresql://u@h/d", cluster_password_file=str(file))
        assert [each.text for each in files(config, None)] == texts
    file.unlink()
    assert [each.advice for each in files(config, None)] == ["check cluster-password-file"]
    assert (os.geteuid(), os.getegid()) == (0, 0)


def diagnosed(data: Path, **env: str) -> dict[str, dict[str, str]]:
    """What the doctor finds, by check."""
    result = process(
        "doctor",
        "--json",
        "--data-dir",
        str(data),
        LEVERET_PORT="0",
        LEVERET_MANAGEMENT_PORT="off",
        prepare=None,
        **env,
    )
    return {each["check"]: each for each in json.loads(result.stdout)}
