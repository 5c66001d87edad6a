"""What the nodes of a cluster share: definitions that all have, queues that one has after the other."""
