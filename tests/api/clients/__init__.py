"""Real clients of RabbitMQ's management API, against a Leveret process."""
