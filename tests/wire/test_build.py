"""The tests run on the build they are meant for."""

from __future__ import annotations

import os

import pytest

from leveret.wire import reader


@pytest.mark.skipif("LEVERET_EXPECT_BUILD" not in os.environ, reason="no build is asked for")
def test_build() -> None:
    found = "interpreted" if str(reader.__file__).endswith(".py") else "compiled"
    assert found == os.environ["LEVERET_EXPECT_BUILD"]
