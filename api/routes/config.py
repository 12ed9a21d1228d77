"""``/config``: hyper-parameters of the next training, bounds checked, versioned."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from api.middleware.json_routes import StrictRoute
from api.problems.openapi import responses
from api.schemas.base import SymbolText
from api.schemas.config import ConfigAnswer, ConfigBody
from api.service import ServiceDep
from api.services.training import SymbolConfiguration
from closecast.database import Configuration
from closecast.errors import InvalidHyperparameters, PreconditionFailed
from closecast.forecasters import (
    DEFAULT_FORECASTER,
    canonical_name,
    forecaster_for,
    make_parameters,
    parameters_type,
    preset,
    preset_names,
    unknown_parameter,
)

router = APIRouter(prefix="/config", tags=["configuration"], route_class=StrictRoute)

SymbolQuery = Annotated[SymbolText | None, Query(description="The default symbol without it.")]


@router.get("", responses=responses(422, 503))
def get_config(service: ServiceDep, response: Response, symbol: SymbolQuery = None) -> ConfigAnswer:
    """Hyper-parameters of the next training of a symbol."""
    return _answer(
        service.database.configurations.newest(service.models.canonical(symbol)), response
    )


@router.post("", responses=responses(400, 412, 413, 415, 422, 503))
def update_config(
    body: ConfigBody,
    service: ServiceDep,
    response: Response,
    symbol: SymbolQuery = None,
    if_match: Annotated[
        str | None, Header(max_length=64, description="The ETag that the change builds on.")
    ] = None,
) -> ConfigAnswer:
    """Change hyper-parameters; the next `POST /train` uses them. The served model stays."""
    canonical = service.models.canonical(symbol)
    while True:
        newest = service.database.configurations.newest(canonical)
        revision = _revision(if_match, newest)
        before = SymbolConfiguration.of(newest)
        named = _named_forecaster(body, before)
        values = before.values
        if body.preset is not None and named is not None:
            values = {**values, **preset(named, body.preset)}
        changed = {
            name: value
            for name, value in {**values, **body.hyperparameters}.items()
            if value is not None
        }
        forecaster = canonical_name(named or forecaster_for(changed))
        known = parameters_type(forecaster).model_fields
        for name in body.hyperparameters:
            if name not in known:
                raise InvalidHyperparameters([(name, unknown_parameter(name, known, forecaster))])
        # Another forecaster was chosen: parameters that it does not have are dropped.
        changed = {name: value for name, value in changed.items() if name in known}
        make_parameters(forecaster, changed)
        is_named = named or forecaster != DEFAULT_FORECASTER
        chosen = {"forecaster": forecaster} if is_named else {}
        try:
            stored = service.database.configurations.store(
                canonical, {**changed, **chosen}, revision
            )
        except PreconditionFailed:
            if if_match is not None:
                raise
            continue  # changed by another request meanwhile: build on that
        return _answer(stored, response)


def _named_forecaster(body: ConfigBody, before: SymbolConfiguration) -> str | None:
    """The forecaster that a change names, also by a preset; else the one configured before."""
    if body.forecaster is not None or body.preset is None:
        return body.forecaster or before.forecaster
    preferred = [before.forecaster] if before.forecaster else []
    return forecaster_for(body.hyperparameters, body.preset, preferred)


def _revision(if_match: str | None, newest: Configuration) -> int:
    """The revision to build on: the newest, if that is what an If-Match header names."""
    if if_match is None or if_match.strip() == "*":
        return newest.revision
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    if str(newest.revision) not in tags:
        raise PreconditionFailed(
            f"the configuration of {newest.symbol} is at revision {newest.revision}, not "
            f"{if_match[:40]}: read it again, then repeat the change"
        )
    return newest.revision


def _answer(configuration: Configuration, response: Response) -> ConfigAnswer:
    response.headers["ETag"] = f'"{configuration.revision}"'
    configured = SymbolConfiguration.of(configuration)
    forecaster = configured.forecaster or DEFAULT_FORECASTER
    return ConfigAnswer(
        symbol=configuration.symbol,
        revision=configuration.revision,
        forecaster=forecaster,
        hyperparameters=make_parameters(forecaster, configured.values).model_dump(),
        changed=configured.values,
        presets=preset_names(),
    )
