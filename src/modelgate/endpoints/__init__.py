"""Endpoints of a gate that score no rows: index, metadata, metrics, OpenAPI documents."""
