"""Scoring layers, one per file."""
