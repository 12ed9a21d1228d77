"""Bundles of trained models and the pointers to the current ones."""
