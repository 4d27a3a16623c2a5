"""Batching: score the requests that wait for the same model in one call."""
