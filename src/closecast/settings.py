"""Every setting, with its unit, bounds and meaning. Environment: ``CLOSECAST_<NAME>``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at start from the environment (and from a file ``.env``)."""

    model_config = SettingsConfigDict(
        env_prefix="CLOSECAST_", env_file=".env", extra="ignore", frozen=True
    )

    default_symbol: str = Field(
        "MSFT", description="Symbol that answers when a request names none."
    )
    source: str = Field("sample", description="Price source used when none is named.")

    models_url: str = Field(
        "models", description="Where bundles and pointers live: a folder or any fsspec URL."
    )
    data_dir: Path = Field(
        Path("data"),
        description="Price cache, calendars, processed windows; the ledger, too, unless "
        "LEDGER_URL says otherwise.",
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
    pointer_poll_s: float = Field(
        1.0, gt=0, le=2, description="Seconds between looks at the pointers of loaded symbols."
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
        description="Answers of POST /predict that the ledger keeps, the newest ones.",
    )

    worker_enabled: bool = Field(True, description="Whether this process may start the worker.")
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
    promote_without_evidence: bool = Field(
        True,
        description="Serve a new model whose test rows are too few to judge it by; "
        "otherwise the one before stays.",
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
