"""What is shown of messages to those who watch: the tracer and witnesses of a virtual host."""
