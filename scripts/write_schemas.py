"""Write the JSON schemas of the three types that everything else is written in."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
TYPES: dict[str, type] = {"prices": Prices, "forecast": Forecast, "verdict": Verdict}


def schema(name: str) -> str:
    """The schema of ``prices``, ``forecast`` or ``verdict`` as the text of its file."""
    described = TypeAdapter(TYPES[name]).json_schema(mode="serialization")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": dialect, **described}, indent=2) + "\n"


def main() -> None:
    """Write ``docs/schemas/<name>.schema.json`` for each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in TYPES:
        path = FOLDER / f"{name}.schema.json"
        path.write_text(schema(name), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
