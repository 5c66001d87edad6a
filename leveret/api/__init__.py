"""The HTTP API: what RabbitMQ's management plugin answers, and what the broker's own clients ask beside it."""
