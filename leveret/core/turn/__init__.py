"""What happens when: time, background work, and what is set right at the end of a turn."""
