"""Tests of the core floor: routing, order, queues, time."""
