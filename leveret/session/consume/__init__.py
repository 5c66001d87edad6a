"""basic.consume, basic.get, and how long a consumer may take."""
