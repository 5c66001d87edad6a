"""Moving house: definitions and messages of one running broker go to another one.

One batch after the other: taken from the source and not acknowledged, written down in the journal, stored in the
target, acknowledged at the source. What is not known to be stored is sent again, with a header that says so; nothing is
ever acknowledged for which the target has not said that it has it.
"""
