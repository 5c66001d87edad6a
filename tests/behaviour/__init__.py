"""Black-box behaviour of the broker over AMQP 0-9-1, frame by frame.

Every expectation holds for RabbitMQ 4.3 too, except in the tests marked `differs_from_rabbitmq`:

    LEVERET_TEST_PEER=rabbitmq LEVERET_TEST_URL=amqp://guest:guest@localhost:5672/ pytest tests/behaviour

`peer.py` is the client all tests use; neither it nor anything else here imports the broker.
"""

import pytest

pytest.register_assert_rewrite(f"{__name__}.link", f"{__name__}.peer")
