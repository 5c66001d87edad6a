"""Settings: what each of them takes in a file, a variable and an option, and what is said of everything else."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.node.config import GROUPS, OPTIONS, SETTINGS, Config
from leveret.node.kinds import Choice, Share, Size, Switch, Whole
from leveret.node.loading import ConfigError, check_setting, load, unknown_variables
from tests.brokers.process import Server
from tests.test_checklist import anchors

ROOT = Path(__file__).resolve().parent.parent.parent
PORTS = "expected a whole number from 1 to 65535, or 0 for a free port"
BYTES = (
    "a number of bytes from 1 to {0}, like 64000000, {1}64MB{1} or {1}64MiB{1} "
    "(units are kB, MB, GB, KiB, MiB, GiB and so on)"
)
SHARE = "expected a number from 0 to 1 like 0.5, or 0 for no limit"
UNKNOWN = "is not a setting; see `leveret serve --help`"
TABLE = "is not a setting; settings belong at the top of the file, outside tables"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leveret.toml"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LEVERET_"):
            monkeypatch.delenv(name)


def read(file: Path, text: str, **options: object) -> Config:
    """The configuration from a file with this text."""
    file.write_text(text, encoding="utf-8")
    return load({"config": str(file), **options})


def problems(options: dict[str, Any], serving: bool = True) -> list[str]:
    """What is said of settings that are wrong."""
    with pytest.raises(ConfigError) as raised:
        load(options, serving)
    return list(raised.value.problems)


def file_problems(file: Path, text: str) -> list[str]:
    """What is said of a file with this text, without its path."""
    file.write_text(text, encoding="utf-8")
    return [problem.replace(str(file), "FILE") for problem in problems({"config": str(file)})]


# -- the declarations


def test_every_declaration_is_complete() -> None:
    for declared in OPTIONS.values():
        setting = declared.setting
        assert setting.group in GROUPS
        assert setting.help.endswith(".")
        assert setting.help.count(". ") <= 1, "one or two sentences"
        assert setting.default or declared.default not in (None, ""), declared.name
        assert "[" not in setting.help + setting.default, "rich takes that for markup"


def test_every_default_is_what_its_setting_takes() -> None:
    for declared in SETTINGS.values():
        kind, default = declared.setting.kind, declared.default
        if declared.name == "tls-port":
            assert default is None
        elif declared.name == "loopback-users":
            assert kind.check(list(default)) == default  # type: ignore[call-overload]
        else:
            assert kind.check(default) == default, declared.name
            if not isinstance(kind, Switch):
                assert kind.parse(kind.show(default)) == default, declared.name


def test_no_settings_at_all() -> None:
    assert load({}) == Config()


def test_the_page_is_what_the_generator_makes(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    subprocess.run([sys.executable, str(ROOT / "tools" / "gen_settings.py"), str(page)], check=True)
    assert page.read_text() == (ROOT / "docs" / "settings.md").read_text(), "run `make settings`"


def test_the_examples_of_the_page(file: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    examples = re.findall(r"in the file `(([a-z-]+) = [^`]+)`", page)
    assert [name for _, name in examples] == [name for name in OPTIONS if name != "config"]
    for example, _ in examples:
        needs_others = 'tls-certificate = "x"\ntls-ca = "x"\n' if example.startswith(("tls-", "management-tls")) else ""
        needs_others += 'cluster = "postgresql://h/d"\n' if example.startswith(("cluster-", "standby")) else ""
        others = "".join(line for line in needs_others.splitlines(True) if line.split()[0] != example.split()[0])
        read(file, others + example)
    assert len({example.split(" = ")[1] for example, name in examples if name.endswith("port")}) == 4


def test_links_of_the_page() -> None:
    for declared in OPTIONS.values():
        name, _, anchor = declared.setting.see.partition("#")
        page = ROOT / "docs" / name
        assert not name or page.is_file(), declared.name
        assert not anchor or anchor in anchors(page), declared.name


def test_the_examples_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    found = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    file = Path("leveret.toml")
    assert (read(file, found[1]).port, read(file, found[1]).data_dir) == (5673, "/var/lib/leveret")
    file.write_text(found[1].replace("data-dir", "data_dir").replace('"info"', '"wraning"'))
    monkeypatch.setenv("LEVERET_PORT", "70000")
    said = "".join(f"    leveret: {problem}\n" for problem in problems({"config": "leveret.toml"}))
    assert said in page


# -- values that are taken


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("67108864", 67_108_864),
        ("20MB", 20_000_000),
        ("20 MB", 20_000_000),
        ("1GiB", 1 << 30),
        ("1gib", 1 << 30),
        ("64kb", 64_000),
        ("3KiB", 3072),
        ("2TB", 2 * 10**12),
        ("5B", 5),
        ("1EiB", 1 << 60),
        ("0", 0),
        ("0MB", 0),
    ],
)
def test_sizes(text: str, number: int, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, declared in SETTINGS.items():
        if not isinstance(declared.setting.kind, Size) or name == "max-message-size":
            continue
        assert getattr(load({name: text}), declared.attribute) == number
        assert getattr(read(file, f'{name} = "{text}"\n'), declared.attribute) == number
        assert getattr(read(file, f"{name} = {number}\n"), declared.attribute) == number
        monkeypatch.setenv(declared.variable, text)
        assert getattr(load({}), declared.attribute) == number
        monkeypatch.delenv(declared.variable)
    if 0 < number <= 536_870_912:
        assert load({"max-message-size": text}).max_message_size == number


def test_a_size_is_shown_as_it_can_be_given() -> None:
    kind = SETTINGS["memory-budget"].setting.kind
    sizes = (1, 999, 1000, 1024, 50_000_000, 1 << 24, 1 << 60, 123_456_789)
    assert [kind.show(size) for size in sizes] == ["1", "999", "1kB", "1KiB", "50MB", "16MiB", "1EiB", "123456789"]
    assert [kind.parse(kind.show(size)) for size in sizes] == list(sizes)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "yes", "on", "1", "TRUE", "Yes", "oN")),
        *((text, False) for text in ("false", "no", "off", "0", "False", "NO")),
    ],
)
def test_switches_in_variables(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_MEMORY", text)
    assert load({}).memory is value


def test_names_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, names in (("a,b", ("a", "b")), ("a, b", ("a", "b")), ("a", ("a",)), ("", ()), ("a b", ("a b",))):
        assert load({"loopback-users": text}).loopback_users == names
        monkeypatch.setenv("LEVERET_LOOPBACK_USERS", text)
        assert load({}).loopback_users == names


@pytest.mark.parametrize(("text", "share"), [("0.5", 0.5), ("1", 1.0), ("0", 0.0), ("5e-1", 0.5), (".25", 0.25)])
def test_shares(text: str, share: float) -> None:
    found = load({"memory-high-watermark": text}).memory_high_watermark
    assert (type(found), found) == (float, share)


def test_a_whole_number_is_a_share_too(file: Path) -> None:
    assert read(file, "memory-high-watermark = 1").memory_high_watermark == 1.0


def test_what_is_empty_may_mean_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("control", "tls-certificate", "definitions", "record"):
        monkeypatch.setenv(SETTINGS[name].variable, "")
    assert load({}) == Config()


def test_later_ones_win(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "port = 1\nmax-connections = 1\nsend-timeout-ms = 1000\n"
    monkeypatch.setenv("LEVERET_PORT", "2")
    monkeypatch.setenv("LEVERET_MAX_CONNECTIONS", "2")
    config = read(file, text, port="3")
    assert (config.port, config.max_connections, config.send_timeout_ms) == (3, 2, 1000)


def test_the_file_that_a_variable_names(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port = 1\n")
    monkeypatch.setenv("LEVERET_CONFIG", str(file))
    assert load({}).port == 1
    other = tmp_path / "other.toml"
    assert read(other, "port = 2\n").port == 2


def test_a_path_that_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    name = os.fsdecode(b"/tmp/\xff")
    monkeypatch.setenv("LEVERET_DATA_DIR", name)
    assert load({}).data_dir == name


# -- values that are not


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "many", f'cannot be "many": {PORTS}'),
        ("port", "65536", f'cannot be "65536": {PORTS}'),
        ("port", "-1", f'cannot be "-1": {PORTS}'),
        ("port", "5_672", f'cannot be "5_672": {PORTS}'),
        ("port", "٥٦٧٢", f'cannot be "٥٦٧٢": {PORTS}'),
        ("port", "1.5", f'cannot be "1.5": {PORTS}'),
        ("port", "", f"cannot be empty: {PORTS}"),
        ("port", "9" * 5000, f'cannot be "{"9" * 60}...": {PORTS}'),
        ("tls-port", "70000", f'cannot be "70000": {PORTS}'),
        (
            "host",
            "",
            "cannot be empty: expected an address or a name of this machine (0.0.0.0 or :: for all",
        ),
        ("data-dir", "", "cannot be empty: expected the path of a directory"),
        ("memory-budget", "20XB", f'cannot be "20XB": expected {BYTES}, or 0 for a quarter of the memory'),
        ("memory-budget", "-1", f'cannot be "-1": expected {BYTES}, or 0 for a quarter of the memory'),
        ("memory-budget", "MB", f'cannot be "MB": expected {BYTES}, or 0 for a quarter of the memory'),
        ("memory-budget", "2EiB", f'cannot be "2EiB": expected {BYTES}, or 0 for a quarter of the memory'),
        ("disk-free-limit", "1.5GB", f'cannot be "1.5GB": expected {BYTES}, or 0 for no limit'),
        ("disk-free-limit", "", f"cannot be empty: expected {BYTES}, or 0 for no limit"),
        ("max-message-size", "0", f'cannot be "0": expected {BYTES.replace("{0}", "512MiB")}'),
        ("max-message-size", "1GiB", f'cannot be "1GiB": expected {BYTES.replace("{0}", "512MiB")}'),
        ("memory-high-watermark", "nan", f'cannot be "nan": {SHARE}'),
        ("memory-high-watermark", "inf", f'cannot be "inf": {SHARE}'),
        ("memory-high-watermark", "1e999", f'cannot be "1e999": {SHARE}'),
        ("memory-high-watermark", "1.1", f'cannot be "1.1": {SHARE}'),
        ("memory-high-watermark", "", f"cannot be empty: {SHARE}"),
        (
            "consumer-timeout-ms",
            "-1",
            'cannot be "-1": expected a whole number of milliseconds from 1 to 281474976710656, or 0 for no limit',
        ),
        (
            "send-timeout-ms",
            "999",
            'cannot be "999": expected a whole number of milliseconds from 1000 to 86400000, or 0 for no limit',
        ),
        (
            "send-timeout-ms",
            "86400001",
            'cannot be "86400001": expected a whole number of milliseconds from 1000 to 86400000, or 0 for no limit',
        ),
        ("send-timeout-ms", "30s", 'cannot be "30s": expected a whole number of milliseconds from 1000 to 86400000'),
        (
            "max-connections",
            "-1",
            'cannot be "-1": expected a whole number from 1 to 1000000000, or 0 for no limit',
        ),
        ("max-unauthenticated-connections", "0", 'cannot be "0": expected a whole number from 1 to 1000000000'),
        ("log-level", "loud", 'cannot be "loud": expected debug, info, warning or error'),
        ("log-level", "wraning", "; did you mean warning?"),
        ("log-level", "INFO", "; did you mean info?"),
        ("log-level", "", "cannot be empty: expected debug, info, warning or error"),
        (
            "loopback-users",
            "a,,b",
            'cannot be "a,,b": expected names separated by commas like alice,bob, or nothing for none',
        ),
        ("memory", "maybe", 'cannot be "maybe": expected true, yes, on, 1, false, no, off or 0'),
        ("ephemeral", "", "cannot be empty: expected true, yes, on, 1, false, no, off or 0"),
        ("config", "", "cannot be empty: expected the path of a TOML file"),
    ],
)
def test_wrong_texts(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said.format("1EiB", "")
    (problem,) = problems({name: value})
    assert problem.startswith(f"--{name} cannot be ")
    assert said in problem
    monkeypatch.setenv(OPTIONS[name].variable, value)
    (problem,) = problems({})
    assert problem.startswith(f"{OPTIONS[name].variable} cannot be ")
    assert said in problem


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("port", '"5672"', f'cannot be "5672": {PORTS}, without quotes'),
        ("port", '"many"', f'cannot be "many": {PORTS}'),
        ("port", "true", f"cannot be true: {PORTS}"),
        ("port", "1.5", f"cannot be 1.5: {PORTS}"),
        ("port", "5672.0", f"cannot be 5672.0: {PORTS}"),
        ("port", "nan", f"cannot be nan: {PORTS}"),
        ("port", "-inf", f"cannot be -inf: {PORTS}"),
        ("port", "-1", f"cannot be -1: {PORTS}"),
        ("port", "1e9", f"cannot be 1000000000.0: {PORTS}"),
        ("port", "9223372036854775808", f"cannot be 9223372036854775808: {PORTS}"),
        ("port", "0x" + "f" * 5000, f"cannot be a number that large: {PORTS}"),
        ("port", "[5672]", f"cannot be this list: {PORTS}"),
        ("port", "{}", f"cannot be a table: {PORTS}"),
        ("port", "1979-05-27", f"cannot be 1979-05-27: {PORTS}"),
        ("host", "5", "cannot be 5: expected an address or a name of this machine"),
        ("data-dir", '""', "cannot be empty: expected the path of a directory, in quotes"),
        ("data-dir", r'"a\u0000b"', r'cannot be "a\u0000b": expected the path of a directory, in quotes'),
        ("data-dir", '["a"]', "cannot be this list: expected the path of a directory, in quotes"),
        ("record", "false", "cannot be false: expected the path of a file, in quotes, or empty quotes for none"),
        ("memory", '"yes"', 'cannot be "yes": expected true or false, without quotes'),
        ("memory", "1", "cannot be 1: expected true or false"),
        ("memory-budget", "true", f"cannot be true: expected {BYTES}, or 0 for a quarter of the memory"),
        ("memory-budget", '"20XB"', f'cannot be "20XB": expected {BYTES}, or 0 for a quarter of the memory'),
        ("memory-budget", "1e6", f"cannot be 1000000.0: expected {BYTES}, or 0 for a quarter of the memory"),
        ("memory-high-watermark", '"0.5"', "like 0.5, or 0 for no limit, without quotes"),
        ("memory-high-watermark", "nan", "cannot be nan: expected a number from 0 to 1"),
        ("memory-high-watermark", "true", "cannot be true: expected a number from 0 to 1"),
        ("memory-high-watermark", "9" * 400, "cannot be a number that large: expected a number from 0 to 1"),
        ("log-level", '"eror"', "; did you mean error?"),
        ("log-level", "1", 'cannot be 1: expected "debug", "info", "warning" or "error"'),
        (
            "loopback-users",
            '"guest"',
            'cannot be "guest": expected a list of names like ["alice", "bob"], or [] for none',
        ),
        ("loopback-users", '["a", 5]', "cannot be this list: expected a list of names"),
        ("loopback-users", '["a", ""]', "cannot be this list: expected a list of names"),
    ],
)
def test_wrong_values_in_the_file(key: str, value: str, said: str, file: Path) -> None:
    (problem,) = file_problems(file, f"# settings\njson = true\n\n{key} = {value}\n")
    assert problem.startswith(f"{key} in line 4 of FILE cannot be ")
    assert said.format("1EiB", '"') in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 5672", '"prot" in line 1 of FILE is not a setting; did you mean port?'),
        ("\n\n'data_dir' = 'x'", '"data_dir" in line 3 of FILE is not a setting; did you mean data-dir?'),
        ("PORT = 5672", '"PORT" in line 1 of FILE is not a setting; did you mean port?'),
        ("zzz = 1", f'"zzz" in line 1 of FILE {UNKNOWN}'),
        ('"" = 1', f'"" in line 1 of FILE {UNKNOWN}'),
        ("config = 'x'", f'"config" in line 1 of FILE {UNKNOWN}'),
        (
            "[broker]\nport = 5",
            f'"broker" in line 1 of FILE {TABLE}',
        ),
        ("a.b.c = 1", f'"a" in line 1 of FILE {TABLE}'),
        ("[[x]]", f'"x" in line 1 of FILE {UNKNOWN}'),
        ("json = true\n[port]\nhost = 5", f"port in line 2 of FILE cannot be a table: {PORTS}"),
        ("port.number = 5", f"port in line 1 of FILE cannot be a table: {PORTS}"),
        (
            'loopback-users = [\n  "a",  # port = 1\n  "b",\n]\nrecord = """\nport = 2\n"""\n  port = "x"',
            f'port in line 8 of FILE cannot be "x": {PORTS}',
        ),
        ("port = 1\n# again\nport = 2", "port is set in line 1 of FILE and again in line 3: leave out one of them"),
        (
            "port = 1\nmemory-budget = 64MiB",
            "FILE is not valid TOML: Expected newline or end of document after a statement "
            "(at line 2, column 19); text must be in quotes",
        ),
        ("host = localhost", "FILE is not valid TOML: Invalid value (at line 1, column 8); text must be in quotes"),
        ("json = true\nport = " + "9" * 5000, "FILE is not valid TOML: the number in line 2 has too many digits"),
    ],
)
def test_wrong_files(text: str, said: str, file: Path) -> None:
    assert file_problems(file, text) == [said]


def test_a_line_behind_a_value_that_nobody_reads_to_its_end(file: Path) -> None:
    text = "loopback-users = [\n" + "'a',\n" * 10_000 + "]\nport = true\n"
    assert file_problems(file, text) == [f"port in FILE cannot be true: {PORTS}"]


def test_lines_of_keys_that_stand_in_tables_too(file: Path) -> None:
    text = "[x]\nport = 1\n[port]\nport = 2\n"
    assert file_problems(file, text) == [
        f'"x" in line 1 of FILE {TABLE}',
        f"port in line 3 of FILE cannot be a table: {PORTS}",
    ]
    said = "FILE is not valid TOML: Invalid statement (at line 5, column 1)"
    assert file_problems(file, f"{text}=") == [said]


def test_a_file_that_is_not_utf8(file: Path) -> None:
    file.write_bytes(b"port = 1\nhost = '\xff'\n")
    assert problems({"config": str(file)}) == [f"{file} is not valid TOML: line 2 is not UTF-8"]


def test_lines_of_a_file_from_windows(file: Path) -> None:
    file.write_bytes(b"json = true\r\nport = true\r\n")
    assert problems({"config": str(file)}) == [f"port in line 2 of {file} cannot be true: {PORTS}"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "no.toml", "No such file or directory")):
        said = f"cannot read {path}: {reason}; check the path given with --config or LEVERET_CONFIG"
        assert problems({"config": str(path)}) == [said]


def test_everything_wrong_is_told_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("prot = 1\nmemory = 3\n")
    monkeypatch.setenv("LEVERET_PORT", "x")
    found = problems({"config": str(file), "log-level": "loud"})
    assert [problem.split()[0] for problem in found] == ["LEVERET_PORT", "--log-level", '"prot"', "memory"]


def test_a_value_that_another_one_wins_over_is_looked_at_too(file: Path) -> None:
    file.write_text("port = 70000\n")
    assert problems({"config": str(file), "port": "5"}) == [f"port in line 1 of {file} cannot be 70000: {PORTS}"]


def test_one_value_of_a_program() -> None:
    check_setting("port", 0)
    with pytest.raises(ConfigError, match="port cannot be 70000: expected"):
        check_setting("port", 70000)


# -- settings together


def test_memory_and_a_data_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"memory": True, "data-dir": "x"}
    assert problems(both) == ["--memory and --data-dir exclude each other: leave out one of them"]
    assert problems({**both, "ephemeral": True}) == problems(both)
    assert load(both, serving=False).data_dir == "x"
    ephemeral = load({"ephemeral": True, "data-dir": "x"})
    assert (ephemeral.memory, ephemeral.data_dir, ephemeral.port) == (False, "x", 0)
    assert read(file, "data-dir = 'x'\n", memory=True).memory
    text = "memory = true\n"
    file.write_text(text)
    assert problems({"config": str(file), "data-dir": "x"}) == [
        f"memory in line 1 of {file} and --data-dir exclude each other: leave out one of them"
    ]
    monkeypatch.setenv("LEVERET_MEMORY", "false")
    assert not read(file, text, **{"data-dir": "x"}).memory
    monkeypatch.setenv("LEVERET_DATA_DIR", "x")
    assert load({"memory": True}).memory


def test_tls_without_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_TLS_KEY", "key.pem")
    needs = "requires a certificate: give it with tls-certificate"
    assert problems({"tls-port": "0"}) == [f"--tls-port {needs}", f"LEVERET_TLS_KEY {needs}"]
    monkeypatch.delenv("LEVERET_TLS_KEY")
    assert problems({"tls-certificate": "x", "tls-require-client-certificate": True}) == [
        "--tls-require-client-certificate requires trusted CAs: give them with tls-ca"
    ]


# -- variables


def test_variables_that_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [*(declared.variable for declared in OPTIONS.values()), "LEVERET_PURE", "LEVERET_TEST_URL"]
    for name in good:
        monkeypatch.setenv(name, "x")
    assert unknown_variables() == []
    for name in ("LEVERET_PROT", "LEVERET_DATADIR", "LEVERET_XYZZY", "LEVERET_" + "A" * 200):
        monkeypatch.setenv(name, "x")
    nothing = "is not a setting and is ignored"
    assert unknown_variables() == [
        f"the variable {('LEVERET_' + 'A' * 200)[:60]}... {nothing}",
        f"the variable LEVERET_DATADIR {nothing}; did you mean LEVERET_DATA_DIR?",
        f"the variable LEVERET_PROT {nothing}; did you mean LEVERET_PORT?",
        f"the variable LEVERET_XYZZY {nothing}",
    ]


def test_a_broker_starts_with_variables_that_mean_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", env={"LEVERET_PROT": "x", "LEVERET_XYZZY\n\x1b": "y"}, log=log)
    assert server.stop() == 0
    assert log.read_text().splitlines() == [
        "leveret: the variable LEVERET_PROT is not a setting and is ignored; did you mean LEVERET_PORT?",
        "leveret: the variable LEVERET_XYZZY\\n\\x1b is not a setting and is ignored",
    ]


def test_nothing_is_written_without_a_data_directory(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "leveret", "serve", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "LEVERET_DATA_DIR": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "leveret: LEVERET_DATA_DIR cannot be empty: expected the path of a directory\n"
    assert list(tmp_path.iterdir()) == []


# -- whatever stands there

SCALARS = (
    st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(["20MB", "1GiB", "guest", "5672", "0.5", "true", "info", "\0", "", "9EiB"])
    | st.dates()
    | st.datetimes()
    | st.times()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from([*OPTIONS, "prot"]) | st.text(st.characters(codec="utf-8"), max_size=20)


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def is_within_bounds(config: Config) -> bool:
    """Whether every value has its type and is within what is declared."""
    assert msgspec.convert(msgspec.structs.asdict(config), Config) == config
    for declared in SETTINGS.values():
        kind, value = declared.setting.kind, getattr(config, declared.attribute)
        if isinstance(kind, Whole) and value is not None:
            if value != 0 and not kind.least <= value <= kind.most:
                return False
            if value == 0 and kind.check(0) is None:
                return False
        if isinstance(kind, Share) and value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            return False
        if isinstance(kind, Choice) and value not in kind.choices:
            return False
        if isinstance(value, str) and "\0" in value:
            return False
    return config.data_dir != "" and config.host != ""


@given(content=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_file_gives_a_configuration_or_says_what_is_wrong(
    content: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in content.items())
    judge({"config": str(write(tmp_path_factory, text.encode()))})


@given(data=st.binary(max_size=60) | st.text(st.characters(codec="utf-8"), max_size=60).map(str.encode))
def test_any_bytes_give_a_configuration_or_say_what_is_wrong(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    judge({"config": str(write(tmp_path_factory, b"port = " + data))})


@given(
    name=st.sampled_from(list(SETTINGS)), text=st.text() | st.from_regex(r"[0-9]{1,30} ?[kMGTPE]?i?B?", fullmatch=True)
)
def test_any_option_gives_a_configuration_or_says_what_is_wrong(name: str, text: str) -> None:
    judge({name: text}, is_file=False)


def write(places: pytest.TempPathFactory, data: bytes) -> Path:
    """A file with this content."""
    file = places.getbasetemp() / "any.toml"
    file.write_bytes(data)
    return file


def judge(options: dict[str, Any], is_file: bool = True) -> None:
    """Load it, and look at what comes out."""
    found: Config | None = None
    said: tuple[str, ...] = ()
    try:
        found = load(options)
    except ConfigError as error:
        said = error.problems
    assert said if found is None else is_within_bounds(found)
    for problem in said:
        assert len(problem) < 500
        assert not is_file or options["config"] in problem
