"""A cluster in one process, in virtual time: its nodes, its database, their clients, and everything that may happen."""
