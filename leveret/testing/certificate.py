"""A throw-away certificate, for brokers that speak TLS in tests."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class Certificate:
    """For 127.0.0.1, ::1 and localhost. file: with its key. ca_file: of the CA that clients have to trust.

    scratch: what takes the files away in the end. Raises: ImportError that says what to install.
    """

    def __init__(self, scratch: contextlib.ExitStack) -> None:
        try:
            import trustme
        except ImportError:
            raise ImportError("TLS in tests needs trustme: pip install 'leveret[testing]'") from None
        directory = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="leveret-tls-")))
        self.file, self.ca_file = directory / "broker.pem", directory / "ca.pem"
        ca = trustme.CA()
        certificate = ca.issue_cert("localhost", "127.0.0.1", "::1")
        self.file.touch(0o600)
        certificate.private_key_and_cert_chain_pem.write_to_path(os.fspath(self.file))
        ca.cert_pem.write_to_path(os.fspath(self.ca_file))
