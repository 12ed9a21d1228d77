"""Step 4: score the candidate beside naive, and publish it."""

from __future__ import annotations

from closecast.pipeline import evaluate_candidate
from closecast.settings import Settings
from scripts.common import add_origin, parser, run, working_on


def main() -> None:
    """A published bundle is served at once by every running process, if the gate promotes it."""
    made = parser("Score the candidate on the untouched part beside naive; publish it.")
    add_origin(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        with working_on(arguments, settings) as workspace:
            published = evaluate_candidate(settings, workspace.symbols)
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
