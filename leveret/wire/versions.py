"""The versions of RabbitMQ that Leveret announces. Clients choose features by them.

They are on the lowest floor so that every module can import them. Leveret's own version is `leveret.__version__`; for
the versions of brokers that definitions can be exported to, see management/targets.py.
"""

from typing import Final

AMQP_VERSION: Final = "3.13.7"
"""In connection.start. With a 4, some AMQP clients would use features that Leveret does not have: kombu changes a
shared prefetch window only for versions from 3.3 to below 4.0, and Leveret's window behaves as in these versions.
"""

API_VERSION: Final = "4.3.6"
"""Of the HTTP API and its metrics, which have the fields of this version: tests/api compares the answers.
"""

DEFINITIONS_VERSION: Final = AMQP_VERSION
"""In definitions files. By this version RabbitMQ chooses the algorithm of password hashes that do not name one: MD5
before 3.6, and SHA-256, which applies here, from 3.6 on.
"""
