"""Metrics for Prometheus: their definitions, and the pages that serve them."""
