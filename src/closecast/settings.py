"""Every setting, with its unit, bounds and meaning. Environment: ``CLOSECAST_<NAME>``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError
from pydantic import Field, ValidationError, field_serializer, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Occasion = Literal["schedule", "regime"]
"""Triggers of automatic trainings."""


class Settings(BaseSettings):
    """Read once at start from the environment (and from a file ``.env``)."""

    model_config = SettingsConfigDict(
        env_prefix="CLOSECAST_", env_file=".env", extra="ignore", frozen=True
    )

    default_symbol: str = Field("MSFT", description="Symbol of requests that name none.")
    markets: str = Field(
        "",
        description="Calendars of symbols that no table knows, or that shall have another one: "
        "NAME=CALENDAR or NAME=CALENDAR:KIND, with commas between them, such as "
        "ACME=BVMF,*=F=CMES:future. In a NAME, * and ? stand for any characters.",
    )
    source: str = Field("sample", description="Price source used when none is named.")

    models_url: str = Field(
        "models", description="Where bundles and pointers live: a folder or any fsspec URL."
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the price cache, calendars, prepared splits and API keys; the "
        "database is at LEDGER_URL.",
    )
    results_dir: Path = Field(Path("results"), description="Evaluations, plots, training logs.")
    ledger_url: str = Field(
        "sqlite:///data/ledger.sqlite", description="SQLAlchemy URL of the ledger."
    )
    mlflow_tracking_uri: str = Field(
        "sqlite:///mlruns/mlflow.sqlite", description="MLflow tracking URI; empty turns MLflow off."
    )
    mlflow_artifact_dir: Path = Field(
        Path("mlruns/artifacts"), description="Folder of MLflow's artefacts."
    )

    host: str = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(8000, ge=1, le=65535, description="Port to bind.")
    workers: int = Field(1, ge=1, le=64, description="API processes.")

    max_body_bytes: int = Field(
        1_000_000, ge=1_000, le=100_000_000, description="Larger request bodies answer 413."
    )
    max_batch_body_bytes: int = Field(
        8_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="The same, of POST /predict/batch in lines (NDJSON); JSON may have 256 kB.",
    )
    max_json_depth: int = Field(
        16, ge=4, le=200, description="Bodies with more brackets inside each other answer 400."
    )
    body_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds to receive a request's body in; then 408."
    )

    api_keys_file: str = Field(
        "",
        description="File of the API keys; api_keys.json in the data folder where this is empty.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto count, with commas between them; empty for none.",
    )
    rate_limit: str = Field(
        "",
        description="Requests that one key (without keys, one address) may send, such as "
        "600/minute; empty for any number. Each API process counts for itself.",
    )
    rate_limit_train: str = Field(
        "60/hour", description="The same of POST /train alone, on top of the other limit."
    )
    pointer_poll_s: float = Field(
        0.2,
        gt=0,
        le=2,
        description="Seconds between looks at the pointers of loaded symbols; on an object store, "
        "where each look is a request, at least 1.",
    )
    drain_s: int = Field(
        15,
        ge=0,
        le=25,
        description="Seconds that running requests get to finish when the service is stopped.",
    )

    forecast_wait_s: float = Field(
        10.0,
        ge=0,
        le=300,
        description="Seconds a dated forecast waits for closes that are being collected for it.",
    )
    refresh_after_s: float = Field(
        900.0,
        ge=0,
        le=86_400,
        description="Seconds between two attempts to collect a symbol's closes for a forecast.",
    )

    predictions_kept: int = Field(
        100_000,
        ge=100,
        le=100_000_000,
        description="Answers of POST /predict and windows of POST /predict/batch that the ledger "
        "keeps, the newest ones.",
    )

    recent_requests: int = Field(
        200,
        ge=0,
        le=10_000,
        description="Finished requests that each API process remembers one by one.",
    )
    mlflow_ui_url: str = Field(
        "", description="Where people reach the MLflow UI: GET /mlflow leads there; http or https."
    )

    worker_enabled: bool = Field(True, description="Start the worker from this process.")
    worker_idle_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Seconds an idle worker stays before it gives memory back.",
    )
    job_lease_s: float = Field(
        30.0,
        ge=2,
        le=3_600,
        description="Seconds without a sign of life until a job counts as dead.",
    )
    without_evidence: Literal["keep", "promote"] = Field(
        "keep",
        description="Decision on a new model that is neither shown to be better nor worse than "
        "the current one: keep the current one, or promote the new one.",
    )
    evidence_deadline_days: float = Field(
        30.0,
        ge=0,
        le=3_650,
        description="Days after which such a new model is promoted all the same, unless it is "
        "more than 1 % worse.",
    )
    retrain_on: Annotated[frozenset[Occasion], NoDecode] = Field(
        frozenset(),
        description="Triggers of automatic trainings: schedule, regime, or both, separated by a "
        "comma; empty for none.",
    )
    retrain_cron: str = Field(
        "0 22 * * 6",
        description="Schedule of automatic trainings: a cron expression of five fields, in UTC.",
    )
    retrain_min_interval_h: float = Field(
        168.0,
        ge=1,
        le=8_784,
        description="Least hours between two automatic trainings of one model.",
    )
    drift_fault_rate: float = Field(
        0.01,
        ge=0.001,
        le=0.2,
        description="Share of clean windows that drift may call a fault of the data; the next "
        "training makes its thresholds by it.",
    )
    drift_regime_rate: float = Field(
        0.01,
        ge=0.001,
        le=0.2,
        description="Share of clean windows that drift may call another regime of the market; "
        "likewise.",
    )
    drift_on_fault: Literal["warn", "refuse", "fallback"] = Field(
        "warn",
        description="Response to closes that are probably wrong: a forecast with a warning, "
        "a refusal (409 data_fault), or the last close with a wide interval.",
    )
    drift_on_regime: Literal["warn", "fallback"] = Field(
        "warn",
        description="Response to a window of another regime: a forecast with a warning, or "
        "the last close with a wide interval.",
    )
    auto_budget_s: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Seconds in which the forecaster `auto` trains all that it chooses from.",
    )
    training_pause_p95_ms: float = Field(
        25.0,
        ge=0,
        le=60_000,
        description="A background training pauses while the slowest twentieth of recent "
        "predictions on its machine takes longer than this, in milliseconds; 0: never.",
    )
    training_pause_max_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Seconds after which a paused training goes on for a minute all the same.",
    )
    training_threads: int = Field(1, ge=1, le=256, description="Threads of a background training.")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field(
        "auto", description="Lightning's accelerator for training."
    )
    source_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Seconds to wait for one answer of a remote price source."
    )
    source_attempts: int = Field(
        4, ge=1, le=20, description="Attempts at a remote source before giving up."
    )
    source_backoff_s: float = Field(
        2.0, ge=0, le=300, description="Seconds before the second attempt; doubles each time."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Format of the log: json (one object per line), text (short lines for "
        "people), or auto: text where standard error is a terminal, json elsewhere.",
    )

    @field_validator("mlflow_ui_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        printable = value.isascii() and value.isprintable() and " " not in value
        if parts.scheme not in ("http", "https") or not parts.hostname or not printable:
            raise ValueError(f"{value[:100]!r} is no address like https://mlflow.example/")
        if parts.username is not None:
            raise ValueError("a password in an address that everybody is led to is none")
        return value

    @property
    def keys_path(self) -> Path:
        """Path of the file of the API keys."""
        return Path(self.api_keys_file) if self.api_keys_file else self.data_dir / "api_keys.json"

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        named = [part.strip() for part in value.split(",") if part.strip()]
        for part in named:
            try:
                ip_network(part)
            except ValueError as error:
                raise ValueError(
                    f"{error}; expected addresses or networks with commas between them, such as "
                    "'10.0.0.7, 10.1.0.0/16'"
                ) from None
        return ",".join(named)

    @field_validator("rate_limit", "rate_limit_train")
    @classmethod
    def _rate(cls, value: str) -> str:
        if value and not re.fullmatch(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", value):
            raise ValueError(
                f"{value[:40]!r} is no rate; expected a number per second, minute, hour or day, "
                "such as '600/minute', or nothing"
            )
        return value

    @field_validator("retrain_on", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = {name.strip() for name in value.split(",")} - {""}
        valid = get_args(Occasion)
        if unknown := names.difference(valid):
            raise ValueError(
                f"unknown: {', '.join(sorted(unknown))}; valid: {', '.join(valid)}, or both with "
                "a comma between them"
            )
        return names

    @field_serializer("retrain_on")
    def _join(self, value: frozenset[Occasion]) -> str:
        """As text that the environment of another process can carry."""
        return ",".join(sorted(value))

    @field_validator("retrain_cron")
    @classmethod
    def _fires(cls, value: str) -> str:
        reason = f"it has {len(value.split())}"
        if len(value.split()) == 5:  # the library takes a sixth one, too: seconds
            try:
                next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)))
                return value
            except CronSimError as error:
                reason = str(error)
            except StopIteration:
                reason = "it never fires"
        raise ValueError(
            f"{value!r} is no cron expression of five fields (minute, hour, day of month, month, "
            f"day of week; for example '0 22 * * 6'): {reason}"
        )


def describe(error: ValidationError) -> str:
    """Settings that cannot work, in one line."""
    problems = "; ".join(
        f"CLOSECAST_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
    )
    return f"a setting cannot work: {problems}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment at the first call."""
    return Settings()
