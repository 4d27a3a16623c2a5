"""Data formats: JSON, CSV, character sets, compression, multipart forms."""
