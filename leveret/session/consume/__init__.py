"""basic.consume, basic.get, settling and the acknowledgement timeout."""
