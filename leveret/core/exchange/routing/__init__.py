"""One file for each type of exchange: how a routing key, or headers, find bindings."""
