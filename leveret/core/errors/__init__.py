"""What the broker refuses, and how it says so."""
