"""Migration: move definitions and messages from one running broker to another.

Each batch is received from the source, recorded in the journal, stored in the target, and only then acknowledged at the
source. Messages not known to be stored are sent again with a header that says so. No message is acknowledged before the
target has confirmed it.
"""
