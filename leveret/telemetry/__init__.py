"""Spans for OpenTelemetry. Needs the extra `opentelemetry`; loaded only if spans are enabled."""
