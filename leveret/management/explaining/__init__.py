"""Explaining: which way a message would take, step by step, and why."""
