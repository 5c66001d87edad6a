"""The types of exchanges there are, and what else exchanges may do with messages."""
