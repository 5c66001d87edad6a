"""Real clients over real sockets, each doing in its own way what it is used for.

They run on any broker: `LEVERET_TEST_URL=amqp://guest:guest@localhost:5673/` chooses another one.
"""
