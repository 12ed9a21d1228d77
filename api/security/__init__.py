"""Scopes, locality, rate limits and headers of security."""
