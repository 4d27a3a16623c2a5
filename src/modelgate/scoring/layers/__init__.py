"""Scoring layers, one in each file."""
