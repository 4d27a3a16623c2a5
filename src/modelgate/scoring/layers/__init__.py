"""Scoring layers, one policy per file."""
