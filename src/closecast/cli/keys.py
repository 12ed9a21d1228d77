"""``closecast keys``: create, list and revoke API keys."""

from __future__ import annotations

import argparse
import sys

from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings


def create_key(arguments: argparse.Namespace, settings: Settings) -> None:
    """Create an API key and print it."""
    token = KeyStore(settings.keys_path).create(arguments.name, arguments.scope)
    print(token)
    print("This is shown once. From now on every request needs a key.", file=sys.stderr)


def list_keys(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the API keys' names, scopes and dates of creation."""
    for key in KeyStore(settings.keys_path).listed():
        print(f"{key.name:<24}{key.scope:<8}{key.created_at:%Y-%m-%dT%H:%M:%SZ}")


def revoke_key(arguments: argparse.Namespace, settings: Settings) -> None:
    """Revoke an API key."""
    left = KeyStore(settings.keys_path).revoke(arguments.name)
    print(f"revoked {arguments.name}; {left} left")
    if not left:
        print(
            "No key is left: whoever reaches the service may read, and programs on this machine "
            "may change something if it listens on loopback only.",
            file=sys.stderr,
        )
