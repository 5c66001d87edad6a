"""Record the metrics of a RabbitMQ, for comparison in tests/api/test_metrics.py.

Usage: python tools/metrics_record.py 127.0.0.1:5672 http://127.0.0.1:15672 http://127.0.0.1:15692 FILE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.exposition import PAGES, fetch, shape
from tests.api.traffic import traffic

SHOWS_AFTER_S = 11.0  # RabbitMQ updates statistics every five seconds
LEFT_OUT = "erlang_"  # eighty metrics of its runtime


def main() -> int:
    """Write the file."""
    amqp, api, metrics, path = sys.argv[1:]
    host, _, port = amqp.rpartition(":")
    with traffic(host, int(port), api) as made:
        until = time.monotonic() + SHOWS_AFTER_S
        while time.monotonic() < until:
            made.process_data_events(0.2)
        pages = {page: shape(fetch(f"{metrics}/{page}")) for page in PAGES}
    found = {
        page: {name: metric for name, metric in sorted(shown.items()) if not name.startswith(LEFT_OUT)}
        for page, shown in pages.items()
    }
    Path(path).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
