"""Versions of RabbitMQ that Leveret says it is: clients look at them to decide what they use, each at one of these.

They are on the lowest floor so that whoever announces one imports it. Leveret's own version is `leveret.__version__`;
that of a broker for which definitions are exported is in management/targets.py.
"""

from typing import Final

AMQP_VERSION: Final = "3.13.7"
"""In connection.start. AMQP clients choose by it, and some turn to what Leveret does not have when they see a 4: kombu
changes a shared prefetch window only for versions from 3.3 and below 4.0, which is how the window behaves here.
"""

API_VERSION: Final = "4.3.6"
"""Of the HTTP API and its metrics. Clients look there for what a version of RabbitMQ has, and find what this one has:
tests/api compares the answers.
"""

DEFINITIONS_VERSION: Final = AMQP_VERSION
"""In definitions files. RabbitMQ chooses by it how to read hashes of passwords that do not say how they were made: MD5
for a version before 3.6, and SHA-256, which is meant here, from there on.
"""
