"""Small apps with a gate mounted in them."""
