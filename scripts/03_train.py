"""Step 3: train a forecaster on the prepared windows and calibrate its intervals."""

from __future__ import annotations

from closecast.cli.options import (
    add_fine_tune,
    add_hyperparameters,
    add_origin,
    chosen_forecaster,
    hyperparameters,
)
from closecast.cli.progress import ProgressBar
from closecast.forecasters import Runtime
from closecast.pipeline import train_candidate
from closecast.settings import Settings
from scripts.common import parser, run, working_on


def main() -> None:
    """The result is a candidate; step 4 judges it."""
    made = parser("Train a forecaster on the prepared windows and calibrate its intervals.")
    add_origin(made)
    add_hyperparameters(made)
    add_fine_tune(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        with working_on(arguments, settings) as workspace, ProgressBar() as bar:
            candidate = train_candidate(
                settings,
                workspace.symbols,
                chosen_forecaster(arguments),
                hyperparameters(arguments),
                fine_tune=arguments.fine_tune,
                runtime=Runtime(settings.accelerator, settings.training_threads),
                watch=lambda progress: bar.show({"stage": "train", **progress}),
            )
        report = candidate.about["training"]
        learned = ""
        if report["best_epoch"]:
            learned = (
                f" (best epoch {report['best_epoch']}, "
                f"validation loss {report['best_valid_loss']:.4f}, {report['seconds']:.0f} s)"
            )
        print(
            f"wrote a {chosen_forecaster(arguments)} candidate for {workspace.name}{learned} to "
            f"{workspace.folder}; next: python -m scripts.04_evaluate {workspace.option}"
        )

    run(step)


if __name__ == "__main__":
    main()
