"""What all examples have in common: a broker that is not there, Ctrl-C, a README that names every script."""

from __future__ import annotations

import re
import signal

import pytest

from tests.clients.programs import EXAMPLES, Programs

SCRIPTS = sorted(
    str(path.relative_to(EXAMPLES))
    for path in EXAMPLES.rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text()
)
LONG_RUNNING = [
    "hello/receive.py",
    "work_queues/worker.py",
    "publish_subscribe/receive_logs.py",
    "routing/receive_logs.py",
    "topics/receive_logs.py",
    "rpc/server.py",
]


@pytest.mark.parametrize("folder", ["pika", "aio_pika", "celery_app"])
def test_without_a_broker_one_sentence_says_so(programs: Programs, closed_port_url: str, folder: str) -> None:
    scripts = [script for script in SCRIPTS if script.startswith(f"{folder}/")]
    assert scripts
    started = [
        programs.start(script, *(["10"] if "/rpc/client" in script else []), amqp_url=closed_port_url)
        for script in scripts
    ]
    for program in started:
        assert program.exit_code() == 1, program.transcript()
        (sentence,) = program.lines
        assert re.fullmatch(r"No broker \(\w+\): is the broker running\? start it with `make run`", sentence), (
            program.transcript()
        )


def test_ctrl_c_ends_a_script_quietly(programs: Programs, library: str) -> None:
    started = [programs.start(f"{library}/{script}") for script in LONG_RUNNING]
    for program in started:
        program.expect("Ctrl-C stops.")
    for program in started:
        program.signal(signal.SIGINT)
    for program in started:
        program.expect("Stopped.")
        assert program.exit_code() == 0, program.transcript()
    programs.assert_no_traceback()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_readme_names_the_script(script: str) -> None:
    folder = (EXAMPLES / script).parent
    readme = folder / "README.md"
    if not readme.exists():
        readme = folder.parent / "README.md"
    assert (EXAMPLES / script).name in readme.read_text()


@pytest.mark.parametrize("readme", [str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("README.md")])
def test_the_links_of_a_readme_lead_somewhere(readme: str) -> None:
    path = EXAMPLES / readme
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target
