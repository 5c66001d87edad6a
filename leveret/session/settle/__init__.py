"""Deliveries that wait for an ack: what is outstanding, and what a settlement does."""
