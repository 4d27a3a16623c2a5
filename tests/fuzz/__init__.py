"""Fuzz targets and their inputs."""
