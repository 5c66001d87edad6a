"""The pages of reference are what the code tells, and each error text has advice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leveret.core.errors import refusals
from tools.error_texts import TOLD
from tools.gen_reference import ADVICE, PAGES, errors_page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages have just been written."""
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run([sys.executable, str(ROOT / "tools" / "gen_reference.py"), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_generator_makes(written: Path, name: str) -> None:
    assert (written / name).read_text() == (ROOT / "docs" / name).read_text(), "run `make reference`"


def test_advice_is_given_for_refusals_that_exist() -> None:
    assert all(hasattr(refusals, name) for name in ADVICE)
    assert sum(line.startswith(("| channel ", "| connection ")) for line in errors_page()) == len(ADVICE) + len(TOLD)
