"""All tests, and what they share: `clients`, and the `brokers` they talk to."""
