"""Small real apps with a gate mounted in them."""
