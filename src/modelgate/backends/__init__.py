"""Connections to Redis, SQL databases and fsspec file systems, and shared directories."""
