"""Metrics for Prometheus: what there is to measure, and the pages that show it."""
