"""Floor 0: bytes. Frames, methods, properties and field tables of AMQP 0-9-1 in RabbitMQ's dialect."""
