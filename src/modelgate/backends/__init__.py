"""Connections to Redis and to SQL databases."""
