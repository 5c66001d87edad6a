"""Brokers for tests of several folders: as a process, or in this one with the ports that a test wants.

`process.py` starts `leveret serve`. `run.py` and `life.py` have a broker on a data directory and no sockets,
`keeping.py` a log that shows what it keeps, `transport.py` what stands in for a socket, and `shortage.py` a process
without descriptors.
"""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("life", "process", "run")))
