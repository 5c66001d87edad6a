"""What is done with a data directory that no broker is at work on: rarely run, and therefore not compiled."""
