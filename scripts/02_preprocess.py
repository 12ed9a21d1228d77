"""Step 2: split closes by time and write the drift baseline ``baseline_stats.json``."""

from __future__ import annotations

from closecast.cli.options import add_hyperparameters, add_origin, hyperparameters
from closecast.pipeline import preprocess
from closecast.settings import Settings
from scripts.common import parser, run, working_on


def main() -> None:
    """Only seq_length, horizon, train_size and valid_size matter here."""
    made = parser("Split closes by time and write the drift baseline.")
    add_origin(made)
    add_hyperparameters(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        with working_on(arguments, settings) as workspace:
            prepared = preprocess(settings, workspace.symbols, hyperparameters(arguments))
        for symbol, reason in prepared.left_out.items():
            print(f"left out: {symbol}: {reason}")
        valid_start, test_start = prepared.series[0].split.boundaries
        print(
            f"wrote split.json and baseline_stats.json of {len(prepared.series)} symbols to "
            f"{workspace.folder}; validation from {valid_start}, test from {test_start}; "
            f"next: python -m scripts.03_train {workspace.option}"
        )

    run(step)


if __name__ == "__main__":
    main()
