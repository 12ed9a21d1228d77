"""Attacks on a service's connections, beside a load whose every answer is checked."""
