"""Clients that mean harm, against a real `leveret serve`: they get their error, and nobody else notices.

While each attack runs, a decent client in a process of its own makes round trips; its worst one is bounded. After
each, the broker's memory and its open sockets are back where they were.
"""
