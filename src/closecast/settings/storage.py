"""Storage: models, data, results, database and MLflow."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationInfo, field_validator


class StorageSettings(BaseModel):
    """Storage: models, data, results, database and MLflow."""

    models_url: str = Field(
        "models", description="Where bundles and pointers live: a folder or any fsspec URL."
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the ledger, the price cache, calendars, prepared splits and API "
        "keys.",
    )
    results_dir: Path = Field(Path("results"), description="Evaluations, plots, training logs.")
    ledger_url: str = Field(
        "",
        validate_default=True,
        description="SQLAlchemy URL of the ledger; by default ledger.sqlite in the data folder.",
    )
    mlflow_tracking_uri: str = Field(
        "sqlite:///mlruns/mlflow.sqlite", description="MLflow tracking URI; `off` for no MLflow."
    )
    mlflow_artifact_dir: Path = Field(
        Path("mlruns/artifacts"), description="Folder of MLflow's artefacts."
    )
    disk_reserve_mb: int = Field(
        200,
        ge=0,
        le=1_000_000,
        description="Free megabytes of each disk that is written to, below which GET /health is "
        "degraded and no training begins; 0: until the disk is full.",
    )
    mlflow_ui_url: str = Field(
        "", description="Where people reach the MLflow UI: GET /mlflow leads there; http or https."
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
            raise ValueError("everybody is led to this address: leave its user and password out")
        return value

    @field_validator("ledger_url")
    @classmethod
    def _in_the_data_folder(cls, value: str, info: ValidationInfo) -> str:
        # The data folder is missing here if it is a fault itself.
        return value or f"sqlite:///{info.data.get('data_dir', 'data')}/ledger.sqlite"
