"""What ``make clean`` leaves: it runs in a folder that was just made, never in this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_clean_leaves_what_cannot_be_made_again(tmp_path: Path) -> None:
    kept = ["api_keys.json", "ledger.sqlite", "ledger.sqlite-wal", "README.md"]
    for name in ("models", "mlruns", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "made").touch()
    (tmp_path / "data" / "prices").mkdir(parents=True)
    for name in (*kept, "prices/MSFT.json"):
        (tmp_path / "data" / name).touch()
    subprocess.run(["make", "-f", str(ROOT / "Makefile"), "clean"], cwd=tmp_path, check=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {f"data/{name}" for name in kept}
