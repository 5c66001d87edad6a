"""Load the configuration from a TOML file, LEVERET_* variables and options, and report errors in them.

Precedence, lowest first: defaults, file, environment, command line. Each error is one sentence that names the place of
the setting. A start with valid settings does not search for line numbers and similar names, and loads tomllib only if
there is a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from leveret.core.errors.diagnostics import nearest
from leveret.node.config import CONFIG_FILE, ENV_PREFIX, OPTIONS, SETTINGS, Config, Declared
from leveret.node.kinds import Switch

HELP = ("--help", "-h")
FOREIGN = (  # variables for builds, tests, other commands, and a secret that is no setting
    "LEVERET_PURE",
    "LEVERET_EXPECT_BUILD",
    "LEVERET_URL",
    "LEVERET_CLUSTER_PASSWORD",
)
FOREIGN_PREFIX = "LEVERET_TEST_"
MAX_SHOWN = 60  # characters of a value
UNQUOTED = ("Invalid value", "Expected newline")  # the start of tomllib's errors for text without quotes
MAX_LINES = 500  # of one value; _keys() gives up on longer ones
MAX_PROBLEMS = 20  # reported for a file, or for the options


class ConfigError(Exception):
    """Settings are invalid. problems: one sentence each, with the place and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Source:
    """A source of values. rank: the highest wins."""

    rank = 0

    def place(self, name: str) -> str:
        """Where a setting was given, for the start of a sentence."""
        raise NotImplementedError


class _CommandLine(_Source):
    rank = 2

    def place(self, name: str) -> str:
        return OPTIONS[name].option


class _Environment(_Source):
    rank = 1

    def place(self, name: str) -> str:
        return OPTIONS[name].variable


class _File(_Source):
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def place(self, name: str) -> str:
        return f"{name} {self.where(name)}"

    def where(self, key: str) -> str:
        """The file, and the first line with this key."""
        for line, found in _keys(self._text):
            if found == key:
                return f"in line {line} of {self._path}"
        return f"in {self._path}"


def read_options(arguments: list[str]) -> dict[str, object] | None:
    """Parse the options of `leveret serve`, including CONFIG_FILE. The last one of a name wins.

    Returns: text or True by name; None if the user asked for help. Raises: ConfigError.
    """
    found: dict[str, object] = {}
    problems: list[str] = []
    left = arguments[::-1]
    while left:
        argument = left.pop()
        option, equals, value = argument.partition("=")
        declared = OPTIONS.get(option.removeprefix("--")) if option.startswith("--") else None
        if argument in HELP:
            return None
        elif declared is None:
            if len(problems) < MAX_PROBLEMS:
                problems.append(_no_option(option))
            if option.startswith("-") and not equals and left and not left[-1].startswith("-"):
                left.pop()  # its value
        elif isinstance(declared.setting.kind, Switch):
            if equals:
                problems.append(f"{option} takes no value: leave out {_quoted(equals + value)}")
            found[declared.name] = True
        else:
            if not equals and not left:
                problems.append(f"{option} requires a value: {declared.setting.kind.allowed(False)}")
                break
            found[declared.name] = value if equals else left.pop()
    if problems:
        raise ConfigError(*problems)
    return found


def load(options: Mapping[str, object], serving: bool = True) -> Config:
    """Build the configuration.

    options: values from the command line by name; None if not given. serving: also check the combination of settings,
    as a broker needs. Raises: ConfigError.
    """
    texts = {declared.name: os.environ.get(declared.variable) for declared in OPTIONS.values()}
    found = _Found()
    found.take_texts(_Environment(), texts)
    found.take_texts(_CommandLine(), options)
    path, _ = found.values.pop(CONFIG_FILE.name, (None, None))
    if isinstance(path, str):
        found.take_file(Path(path))
    if found.problems:
        raise ConfigError(*found.problems)
    values = {name: value for name, (value, _) in found.values.items()}
    if values.get("ephemeral"):
        tls = {"tls-port": 0} if values.get("tls-certificate") else {}
        values = {"port": 0, "memory": "data-dir" not in values and not values.get("cluster"), **tls, **values}
    if serving:
        _check_together(found)
    return msgspec.convert({SETTINGS[name].attribute: value for name, value in values.items()}, Config)


def check_setting(name: str, value: object) -> None:
    """Check one value given by a program. Raises: ConfigError."""
    kind = SETTINGS[name].setting.kind
    if kind.check(value) is None:
        raise ConfigError(_not_allowed(name, SETTINGS[name], value, False))


def unknown_variables() -> list[str]:
    """One sentence for each unknown LEVERET_* variable."""
    known = [declared.variable for declared in OPTIONS.values()]
    return [
        f"the variable {_cut(name)} is not a setting and is ignored{_suggestion(name, known, ENV_PREFIX)}"
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX) and name not in (*known, *FOREIGN) and not name.startswith(FOREIGN_PREFIX)
    ]


class _Found:
    """Valid values with their sources, and the problems with the others."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[object, _Source]] = {}
        self.problems: list[str] = []

    def take_file(self, path: Path) -> None:
        """Add the values of a TOML file that have no other source yet."""
        try:
            text, content = _read_toml(path)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return
        source = _File(path, text)
        for name, given in content.items():
            if len(self.problems) == MAX_PROBLEMS:
                self.problems.append(f"there may be more problems in {path}")
                return
            declared = SETTINGS.get(name)
            if declared is None:
                self.problems.append(_no_key(name, given, source))
                continue
            value = declared.setting.kind.check(given)
            if value is None:
                self.problems.append(_not_allowed(source.place(name), declared, given, True))
            self.values.setdefault(name, (value, source))

    def take_texts(self, source: _Source, texts: Mapping[str, object]) -> None:
        """Add the values of variables or options. texts: True for a switch without a value, None if not given."""
        for name, given in texts.items():
            if given is None:
                continue
            declared = OPTIONS[name]
            kind = declared.setting.kind
            value = kind.parse(given) if isinstance(given, str) else kind.check(given)
            if value is None:
                self.problems.append(_not_allowed(source.place(name), declared, given, False))
            self.values[name] = value, source

    def is_on(self, name: str) -> bool:
        """Whether a value was given and is on or not empty."""
        return name in self.values and bool(self.values[name][0])

    def place(self, name: str) -> str:
        """Where a setting was given."""
        return self.values[name][1].place(name)

    def rank(self, name: str) -> int:
        """The rank of a value's source."""
        return self.values[name][1].rank


def _check_together(found: _Found) -> None:
    """Check for settings that exclude or require each other. Raises: ConfigError."""
    problems: list[str] = []
    if found.is_on("memory") and "data-dir" in found.values and found.rank("memory") <= found.rank("data-dir"):
        both = f"{found.place('memory')} and {found.place('data-dir')}"
        problems.append(f"{both} exclude each other: leave out one of them")
    for name in ("memory", "data-dir"):
        if found.is_on("cluster") and found.is_on(name) and found.rank("cluster") <= found.rank(name):
            both = f"{found.place('cluster')} and {found.place(name)}"
            problems.append(f"{both} exclude each other: leave out one of them")
    for name in ("cluster-password-file", "standby"):
        if found.is_on(name) and not found.is_on("cluster"):
            problems.append(f"{found.place(name)} requires a database: give its URL with cluster")
    if found.is_on("tls-require-client-certificate") and not found.is_on("tls-ca"):
        place = found.place("tls-require-client-certificate")
        problems.append(f"{place} requires trusted CAs: give them with tls-ca")
    if not found.is_on("tls-certificate"):
        for name in ("tls-port", "tls-key", "tls-ca", "management-tls"):
            if found.is_on(name) or (name == "tls-port" and name in found.values):
                problems.append(f"{found.place(name)} requires a certificate: give it with tls-certificate")
    if problems:
        raise ConfigError(*problems)


# -- the file


def _read_toml(path: Path) -> tuple[str, dict[str, object]]:
    """The text of the file and its content. Raises: ConfigError."""
    import tomllib

    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")
        return text, tomllib.loads(text)
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}; check the path given with --config or {CONFIG_FILE.variable}"
    except RecursionError:
        reason = f"{path} is not valid TOML: nested too deep"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"{path} is not valid TOML: line {line} is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        hint = "; text must be in quotes" if str(error).startswith(UNQUOTED) else ""
        reason = _twice(path, text) or f"{path} is not valid TOML: {error}{hint}"
    except ValueError:  # Python limits the digits of a number
        lines = [line for line, key in _keys(text) if key is None]
        where = f"the number in line {lines[0]}" if lines else "a number"
        reason = f"{path} is not valid TOML: {where} has too many digits"
    raise ConfigError(reason)


def _twice(path: Path, text: str) -> str | None:
    """The problem if a setting appears twice in the file."""
    first: dict[str | None, int] = {}
    for line, key in _keys(text):
        if key in first:
            return f"{key} is set in line {first[key]} of {path} and again in line {line}: leave out one of them"
        first[key] = line
    return None


def _keys(text: str) -> Iterator[tuple[int, str | None]]:
    """Top-level keys of a TOML file with their lines, up to the first mistake; None for a value that cannot be read.

    A table yields only the line where it starts.
    """
    import tomllib

    lines = text.split("\n")
    start = 0
    is_table = False
    for end in range(1, len(lines) + 1):
        try:
            found = tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            if end - start == MAX_LINES:
                return
            continue  # the value continues in the next line
        except (ValueError, RecursionError):
            yield start + 1, None
            return
        begins_table = lines[start].lstrip().startswith("[")
        is_table = is_table or begins_table
        if found and begins_table == is_table:
            yield start + 1, next(iter(found))
        start = end


# -- error texts


def _not_allowed(place: str, declared: Declared, given: object, in_file: bool) -> str:
    kind = declared.setting.kind
    hint = ""
    if isinstance(given, str) and kind.choices:
        hint = _suggestion(given, kind.choices)
    elif in_file and isinstance(given, str) and kind.check(kind.parse(given)) is not None:  # a list stays text
        hint = ", without quotes"
    return f"{place} cannot be {_shown(given)}: expected {kind.allowed(in_file)}{hint}"


def _no_key(name: str, given: object, source: _File) -> str:
    where = source.where(name)
    hint = _suggestion(name, SETTINGS)
    if isinstance(given, dict) and not hint:
        hint = "; settings belong at the top of the file, outside tables"
    return f"{_quoted(name)} {where} is not a setting{hint or _see_help()}"


def _no_option(option: str) -> str:
    known = [f"--{name}" for name in (*OPTIONS, "help")]
    hint = _suggestion(option, known, "--") or _see_help()
    return f"{_quoted(option)} is not an option{hint}"


def _see_help() -> str:
    return "; see `leveret serve --help`"


def _suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean NAME?` if a known name is similar, else empty. prefix: common to all names, ignored."""
    plain = {_plain(each.removeprefix(prefix)): each for each in known}
    wanted = _plain(name.removeprefix(prefix))
    similar = wanted if wanted in plain else nearest(wanted, plain)
    return f"; did you mean {plain[similar]}?" if similar else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _shown(value: object) -> str:
    """A value for an error text, cut if long."""
    if value == "":
        return "empty"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "this list" if value else "an empty list"
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN * 3:
        return "a number that large"
    return _cut(str(value))


def _quoted(text: str) -> str:
    return json.dumps(_cut(text), ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
