"""Step 4: score the candidate beside naive, and publish it."""

from __future__ import annotations

from closecast.cli.options import add_origin
from closecast.forecasters import BOOTSTRAP
from closecast.pipeline import evaluate_candidate
from closecast.pipeline.bootstrap import publish_first
from closecast.settings import Settings
from scripts.common import parser, run, working_on


def main() -> None:
    """A published bundle is served at once by every running process, if the gate promotes it."""
    made = parser("Score the candidate on the untouched part beside naive; publish it.")
    add_origin(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        with working_on(arguments, settings) as workspace:
            candidate = workspace.candidate(workspace.prepared())
            if candidate.about["forecaster"] != BOOTSTRAP:
                publish_first(settings, workspace.symbols, arguments.source)
            published = evaluate_candidate(settings, workspace.symbols, source=arguments.source)
        print(published.table)
        for symbol, decision in published.decisions.items():
            print(f"{symbol}: {decision.outcome}: {decision.reason}")
        print(
            f"wrote bundle {published.manifest.version} to {settings.models_url}, scores and "
            f"plots to {published.results}; next: closecast serve"
        )

    run(step)


if __name__ == "__main__":
    main()
