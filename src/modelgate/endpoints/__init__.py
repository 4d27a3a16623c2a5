"""Endpoints of a gate that do not score rows: index, metadata, metrics, OpenAPI documents."""
