"""Spans for OpenTelemetry. Needs the extra `opentelemetry`, and is loaded only when spans are asked for."""
