"""Validation: the promotion gate and the look-ahead check that a bundle passes before it serves."""
