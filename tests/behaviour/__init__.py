"""Black-box behaviour of the broker over AMQP 0-9-1, frame by frame.

Every expectation holds for RabbitMQ 4.3 too, except in the tests marked `differs_from_rabbitmq`:

    LEVERET_TEST_PEER=rabbitmq LEVERET_TEST_URL=amqp://guest:guest@localhost:5672/ pytest tests/behaviour

All tests use the client in `tests/clients/peer.py`; neither it nor anything here imports the broker.
"""
