"""Renew ``docs/openapi.json`` after a deliberate change of the API."""

from __future__ import annotations

import json
from pathlib import Path

from api.main import create_app
from closecast.settings import Settings


def main() -> None:
    """Write the document of an application with default settings."""
    path = Path(__file__).parents[1] / "docs" / "openapi.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(create_app(Settings()).openapi(), indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
