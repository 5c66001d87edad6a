"""A protocol other than AMQP, which uses the same doors of the core."""
