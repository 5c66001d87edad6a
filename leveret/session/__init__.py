"""Floor 2: one AMQP client. Its connection and channels; translates between bytes and calls into the core."""
