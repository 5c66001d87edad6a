"""Run the behaviour tests against Leveret and a RabbitMQ, and report differences.

Usage: python tools/differential.py HOST:PORT [--management URL] [--page FILE]

A test that only fails with RabbitMQ is a difference. Tests marked `differs_from_rabbitmq` are expected differences; any
other gives exit status 1. `--page` writes the result as a documentation page.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import amqp

import leveret

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "tests/behaviour"
API_HEADING = "## The HTTP API"
"""The start of the section that api_record.py writes."""
PASSED, FAILED, EXPECTED, SKIPPED = "passed", "failed", "failed as stated", "skipped"


@dataclass(frozen=True)
class Outcome:
    """The result of one test with one broker."""

    verdict: str
    text: str = ""
    """The reason for a skip or an expected failure, or the first line of the failure."""


Outcomes = dict[str, Outcome]
"""By `file.py::test[case]`."""


def outcome_of(case: xml.Element) -> Outcome:
    """Read one `testcase` of a JUnit report."""
    for found in case:
        text = (found.get("message") or "").split("\n")[0]
        if found.tag == "skipped":
            return Outcome(EXPECTED if found.get("type") == "pytest.xfail" else SKIPPED, text)
        if found.tag in ("failure", "error"):
            return Outcome(FAILED, text)
    return Outcome(PASSED)


def run_tests(environment: dict[str, str]) -> Outcomes:
    """Run the behaviour tests with pytest, which prints its progress."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", FOLDER, "--tb=no", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment})
        if done.returncode not in (0, 1):
            sys.exit(f"pytest ended with exit code {done.returncode}; nothing was compared.")
        cases = xml.parse(report).iter("testcase")
        return {
            f"{case.get('classname', '').split('.')[-1]}.py::{case.get('name')}": outcome_of(case) for case in cases
        }


def version_of(peer: str) -> str:
    """Product and version of a broker. Exits if there is none."""
    try:
        with amqp.Connection(peer, connect_timeout=5) as connection:
            properties = connection.server_properties
    except OSError as problem:
        sys.exit(f"No broker answers at {peer}: {problem}. Start a RabbitMQ there and try again.")
    return f"{properties['product']} {properties['version']}"


@dataclass
class Comparison:
    """The outcomes of both brokers, test by test."""

    leveret: Outcomes
    peer: Outcomes

    def with_verdicts(self, leveret: set[str], peer: set[str]) -> Iterator[tuple[str, Outcome]]:
        """The tests with these results, and the peer's outcome of each."""
        for test, outcome in self.peer.items():
            if self.leveret[test].verdict in leveret and outcome.verdict in peer:
                yield test, outcome

    @property
    def stated(self) -> list[tuple[str, Outcome]]:
        """Expected differences."""
        return list(self.with_verdicts({PASSED}, {EXPECTED}))

    @property
    def unstated(self) -> list[tuple[str, Outcome]]:
        """Unexpected differences, and marked tests without a difference."""
        return list(self.with_verdicts({PASSED}, {FAILED}))

    @property
    def broken(self) -> list[str]:
        """Tests that fail with Leveret."""
        return [test for test, outcome in self.leveret.items() if outcome.verdict == FAILED]

    def summary(self) -> Iterator[str]:
        """A summary of the result."""
        both = len(list(self.with_verdicts({PASSED}, {PASSED})))
        yield f"* {len(self.leveret)} tests; {both} pass with both brokers."
        yield f"* {len(self.stated)} fail with RabbitMQ where Leveret differs on purpose (below)."
        yield f"* {len(self.unstated)} differ without a stated reason{'' if self.unstated else '.'}"
        for test, outcome in self.unstated:
            yield f"    * `{test}`: {outcome.text}"
        yield f"* {len(self.broken)} fail with Leveret{'' if self.broken else '.'}"
        yield from (f"    * `{test}`: {self.leveret[test].text}" for test in self.broken)
        skipped = list(self.with_verdicts({PASSED, SKIPPED}, {SKIPPED}))
        yield f"* {len(skipped)} were skipped{'' if skipped else '.'}"
        yield from (f"    * `{test}`: {outcome.text}" for test, outcome in skipped)


def page(comparison: Comparison, version: str) -> Iterator[str]:
    """The page in docs/, line by line."""
    yield "# The same tests against RabbitMQ"
    yield ""
    yield "    make differential PEER=127.0.0.1:5673"
    yield ""
    yield "runs `tests/behaviour` against Leveret and against the RabbitMQ at this address, and writes this page."
    yield f"Its last result: {datetime.date.today().isoformat()}, Leveret {leveret.__version__}, {version}."
    yield ""
    yield from comparison.summary()
    yield ""
    yield "## Intended differences"
    yield ""
    yield "[compatibility.md](compatibility.md) gives the reasons."
    yield ""
    yield "| test | RabbitMQ |"
    yield "|---|---|"
    yield from (f"| `{test}` | {outcome.text} |" for test, outcome in comparison.stated)
    yield ""
    yield "## File by file"
    yield ""
    yield "| file | tests | differ |"
    yield "|---|---|---|"
    tests = Counter(test.split("::")[0] for test in comparison.leveret)
    different = Counter(test.split("::")[0] for test, _ in comparison.stated + comparison.unstated)
    yield from (f"| `{file}` | {count} | {different[file] or ''} |" for file, count in sorted(tests.items()))


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description="Run the behaviour tests against Leveret and against a RabbitMQ.")
    parser.add_argument("peer", metavar="HOST:PORT", help="where RabbitMQ listens; guest may log in from here")
    parser.add_argument("--management", metavar="URL", help="its HTTP API, by default at its port plus 10000")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the result to this file")
    options = parser.parse_args()
    version = version_of(options.peer)
    print(f"Leveret {leveret.__version__}", flush=True)
    ours = run_tests({"LEVERET_TEST_URL": "", "LEVERET_TEST_PEER": ""})
    print(version, flush=True)
    theirs = {"LEVERET_TEST_URL": f"amqp://guest:guest@{options.peer}/", "LEVERET_TEST_PEER": "rabbitmq"}
    if options.management:
        theirs["LEVERET_TEST_MANAGEMENT"] = options.management
    comparison = Comparison(ours, run_tests(theirs))
    print("\n".join(comparison.summary()))
    if options.page:
        old = options.page.read_text() if options.page.exists() else ""
        _, heading, api = old.partition(API_HEADING)
        options.page.write_text("\n".join(page(comparison, version)) + "\n" + (heading and f"\n{heading}{api}"))
    sys.exit(1 if comparison.unstated or comparison.broken else 0)


if __name__ == "__main__":
    main()
