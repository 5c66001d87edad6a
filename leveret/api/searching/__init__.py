"""To look for messages in a queue, and to do something with those that are found."""
