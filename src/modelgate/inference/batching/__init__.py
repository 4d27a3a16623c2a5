"""Batching: requests that wait for the same model are scored in one call."""
