"""Walk the sample day by day through the API with a set clock; see the ledger at work.

A model is trained on closes up to a day. From then on each session's closes arrive after its end,
the calibration absorbs them, due forecasts are scored, and ``GET /forecast/{symbol}`` is called.
Afterwards every served forecast is compared, bit for bit, with the one that the evaluation's code
computes at the same origin from the whole data.
"""

from __future__ import annotations

import shutil
import sys
from datetime import date
from pathlib import Path

from closecast.cli.progress import ProgressBar
from closecast.core.symbols import canonical_list, exchange_of, typed_symbols
from closecast.database import Database
from closecast.forecasters import DEFAULT_FORECASTER, make_parameters, preset
from closecast.pipeline import TrainRequest, run_training
from closecast.settings import Settings
from closecast.sources import make_source
from scripts.common import parser, run
from scripts.replaying import check, days_after, report, walk

MARKER = ".closecast-replay"


def main() -> None:
    """Trains a model of its own, in a folder of its own."""
    made = parser(__doc__.splitlines()[0] if __doc__ else "")
    made.add_argument(
        "--until",
        type=date.fromisoformat,
        default=date(2021, 12, 31),
        help="last session that the model is trained on",
    )
    made.add_argument("--days", type=int, default=120, help="sessions to replay")
    made.add_argument("--forecaster", default=DEFAULT_FORECASTER)
    made.add_argument("--preset", default="default")
    made.add_argument("--folder", type=Path, default=Path("results/replay"))
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        folder: Path = arguments.folder
        if folder.exists():
            if not (folder / MARKER).exists():
                sys.exit(f"error: {folder} is not from a replay; name another with --folder")
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / MARKER).touch()
        own = Settings(
            source="sample",
            data_dir=folder / "data",
            models_url=str(folder / "models"),
            ledger_url=f"sqlite:///{folder / 'ledger.sqlite'}",
            results_dir=folder,
            mlflow_tracking_uri="",
            worker_enabled=False,
            log_level="ERROR",
        )
        listed = make_source("sample", own).symbols() or ()
        symbols = canonical_list(typed_symbols(arguments.symbols) if arguments.symbols else listed)
        name = arguments.forecaster
        parameters = make_parameters(name, preset(name, arguments.preset))
        request = TrainRequest(
            symbols=symbols,
            source="sample",
            end=arguments.until,
            forecaster=name,
            hyperparameters=parameters.model_dump(),
        )
        with ProgressBar() as bar:
            run_training(own, request, watch=bar.show)
        days = days_after(exchange_of(symbols[0]), arguments.until, arguments.days)
        served = walk(own, symbols, days)
        database = Database(own.ledger_url)
        computed = check(own, symbols, database, served)
        report(own, symbols, database, served, computed)
        database.close()
        print(
            f"{sum(map(len, served.values()))} forecasts over {len(days)} sessions: what the API "
            "served is what the evaluation computes, bit for bit"
        )

    run(step)


if __name__ == "__main__":
    main()
