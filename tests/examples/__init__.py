"""The examples, run as a reader would run them: every script in a process of its own, against a broker."""
