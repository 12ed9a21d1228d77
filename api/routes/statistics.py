"""``/statistics`` and ``/mlflow``: trainings as recorded in MLflow."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.problems.openapi import Problems, responses
from api.schemas.statistics import ExperimentStatistics, RecordedStatistics, StatisticsAnswer
from api.service import ServiceDep
from closecast.core.symbols import present_name
from closecast.errors import NotConfigured, NothingRecorded, StorageFailed
from closecast.tracking.experiments import PREFIX
from closecast.tracking.exported import read_experiments

router = APIRouter(tags=["training"])

_EXAMPLES: Problems = {
    404: {"nothing_recorded": "no statistics yet: the worker writes them after …"},
    503: {"storage_failed": "statistics.json is damaged: renew it with …"},
}


@router.get(
    "/statistics",
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}}}},
        304: {"description": "Nothing was recorded since."},
        **responses(
            404,
            422,
            503,
            examples=_EXAMPLES,
        ),
    },
    response_model=StatisticsAnswer,
)
def get_statistics(
    service: ServiceDep,
    response: Response,
    experiment: Annotated[
        str | None,
        Query(
            max_length=500,
            description="Only these experiments: by a symbol in any spelling (also those of panels "
            "with it), by the name of a panel, with or without `closecast/`, or by the key or "
            "the identifier of an experiment.",
            examples=["VALE3", "AAPL and 19 more"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Runs of each experiment.")] = 20,
    if_none_match: Annotated[str | None, Header()] = None,
) -> StatisticsAnswer | Response:
    """Every MLflow experiment with its runs: parameters, times, scores per step, loss per epoch.

    The worker reads them from MLflow after each training; `age_s` is the time since then.
    """
    content = read_experiments(service.settings)
    parameters = f"{experiment}/{limit}/".encode("utf-8", "surrogatepass")
    # Weak: the age moves on with the same tag.
    tag = f'W/"{hashlib.sha256(parameters + content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match is not None and tag in {t.strip() for t in if_none_match.split(",")}:
        return Response(status_code=304, headers=headers)
    try:
        recorded = RecordedStatistics.model_validate_json(content)
    except ValidationError as error:
        raise StorageFailed(
            "statistics.json is damaged: renew it with `closecast statistics`"
        ) from error
    response.headers.update(headers)
    return StatisticsAnswer(
        written_at=recorded.written_at,
        age_s=max(0.0, round((service.clock() - recorded.written_at).total_seconds(), 1)),
        experiments=[
            _first_runs(found, limit)
            for found in recorded.experiments
            if experiment is None or _is_meant(found, experiment)
        ],
    )


@router.get(
    "/statistics/{experiment}",
    responses=responses(404, 422, 503, examples=_EXAMPLES),
)
def get_experiment_statistics(
    service: ServiceDep,
    response: Response,
    experiment: Annotated[
        str,
        Path(
            max_length=500,
            description="A symbol in any spelling, the name of a panel, or the key or the "
            "identifier of an experiment.",
            examples=["MSFT"],
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=100, description="Runs of each experiment.")] = 20,
) -> StatisticsAnswer:
    """The trainings of one symbol, panel or experiment, by the name that people know."""
    found = get_statistics(service, response, experiment, limit)
    assert isinstance(found, StatisticsAnswer)  # without If-None-Match
    if not found.experiments:
        raise NothingRecorded(
            f"no experiment of {experiment[:80]!r}: GET /statistics lists them with their symbols"
        )
    return found


def _is_meant(found: ExperimentStatistics, asked: str) -> bool:
    """Whether a person means an experiment by its name, key, identifier, or one of its symbols."""
    name = asked.strip().removeprefix(PREFIX)
    own = found.name.removeprefix(PREFIX)
    key = found.key or own  # files of earlier versions hold none
    if name in (found.experiment_id, key) or name.casefold() == own.casefold():
        return True
    symbol = present_name(name)
    return symbol == key or (name == asked.strip() and symbol in found.symbols)


def _first_runs(experiment: ExperimentStatistics, limit: int) -> ExperimentStatistics:
    runs = experiment.runs[:limit]
    more = experiment.has_more or len(experiment.runs) > limit
    return experiment.model_copy(update={"runs": runs, "has_more": more})


@router.get(
    "/mlflow",
    status_code=307,
    response_class=RedirectResponse,
    responses={
        307: {"description": "To `CLOSECAST_MLFLOW_UI_URL`."},
        **responses(
            404, examples={404: {"not_configured": "no address of an MLflow UI is configured"}}
        ),
    },
)
def redirect_to_mlflow(service: ServiceDep) -> RedirectResponse:
    """Redirect to the MLflow UI, where one is configured."""
    address = service.settings.mlflow_ui_url
    if not address:
        raise NotConfigured(
            "no address of an MLflow UI is configured: start it beside the service with `mlflow ui "
            "--backend-store-uri` and the value of CLOSECAST_MLFLOW_TRACKING_URI (by default "
            "sqlite:///mlruns/mlflow.sqlite), then set CLOSECAST_MLFLOW_UI_URL, for example to "
            "http://127.0.0.1:5000"
        )
    return RedirectResponse(address, status_code=307)
