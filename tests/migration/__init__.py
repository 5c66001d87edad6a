"""leveret migrate between brokers that are killed, as is the command: what is lost, doubled, out of order."""
