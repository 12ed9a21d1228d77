"""Logic that several routes share."""
