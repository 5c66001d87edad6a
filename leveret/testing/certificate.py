"""A temporary certificate for brokers with TLS in tests."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Certificate:
    """A certificate for 127.0.0.1, ::1 and localhost. file: with its key. ca_file: the CA that clients must trust.

    Both are in memory, with names under /proc for processes of the same user, so no files are left behind. scratch:
    closes them. Raises: ImportError, which says what to install.
    """

    def __init__(self, scratch: contextlib.ExitStack) -> None:
        try:
            import trustme
        except ImportError:
            raise ImportError("TLS in tests requires trustme: pip install 'leveret[testing]'") from None
        ca = trustme.CA()
        certificate = ca.issue_cert("localhost", "127.0.0.1", "::1")
        self.file = _in_memory("broker.pem", certificate.private_key_and_cert_chain_pem.bytes(), scratch)
        self.ca_file = _in_memory("ca.pem", ca.cert_pem.bytes(), scratch)


def _in_memory(name: str, content: bytes, scratch: contextlib.ExitStack) -> Path:
    descriptor = os.memfd_create(f"leveret-{name}")
    scratch.callback(os.close, descriptor)
    os.write(descriptor, content)
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")
