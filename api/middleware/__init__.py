"""Layers around every request: limits, identity, JSON, routes' templates, headers."""
