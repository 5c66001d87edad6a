"""The frameworks that people build on AMQP, each with the small application in `examples/frameworks`."""
