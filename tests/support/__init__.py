"""Helpers that several test files share: data, servers, and ways to read responses."""
