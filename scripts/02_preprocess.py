"""Step 2: split by time, standardise windows, write ``baseline_stats.json``."""

from __future__ import annotations

from closecast.pipeline import preprocess
from closecast.settings import Settings
from closecast.symbols import folder_name
from scripts.common import add_hyperparameters, add_origin, hyperparameters, parser, run, working_on


def main() -> None:
    """Only seq_length, horizon and train_size matter here."""
    made = parser("Split by time, standardise windows, write the drift baseline.")
    add_origin(made)
    add_hyperparameters(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        with working_on(arguments, settings) as name:
            prepared = preprocess(settings, name, hyperparameters(arguments))
        folder = settings.data_dir / "processed" / folder_name(name)
        valid_start, test_start = prepared.split.boundaries
        print(
            f"wrote {len(prepared.processed.inputs)} windows of {prepared.seq_length} closes and "
            f"baseline_stats.json to {folder}; validation from {valid_start}, test from "
            f"{test_start}; next: python -m scripts.03_train --symbol {name}"
        )

    run(step)


if __name__ == "__main__":
    main()
