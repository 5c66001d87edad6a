"""The HTTP API: the operations of RabbitMQ's management plugin, and Leveret's own under /leveret."""
