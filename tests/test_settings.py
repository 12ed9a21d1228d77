"""Settings: each with a sentence, bounds, and a variable ``CLOSECAST_<NAME>``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from closecast.settings import Settings, as_environment, describe, get_settings
from closecast.settings.listing import default_text, value_text

FIELDS = Settings.model_fields

CHANGED: dict[str, Any] = {
    "default_symbol": "PETR4.SA",
    "source": "yahoo",
    "models_url": "s3://bucket/models",
    "markets": "ACME=BVMF,*=F=CMES:future",
    "data_dir": Path("/somewhere/data"),
    "results_dir": Path("/somewhere/results"),
    "ledger_url": "postgresql://user@host/ledger",
    "mlflow_tracking_uri": "http://mlflow:5000",
    "mlflow_artifact_dir": Path("/somewhere/artifacts"),
    "host": "0.0.0.0",
    "port": 8080,
    "workers": 4,
    "max_body_bytes": 50_000,
    "max_batch_body_bytes": 60_000,
    "max_json_depth": 8,
    "body_timeout_s": 2.5,
    "api_keys_file": "/somewhere/keys.json",
    "trusted_proxies": "10.0.0.7,10.1.0.0/16,::1",
    "allowed_hosts": "closecast,[2001:db8::1],*.example.org",
    "cors_origins": "https://app.example,http://localhost:3000",
    "root_path": "/closecast",
    "rate_limit": "600/minute",
    "rate_limit_train": "2/day",
    "head_timeout_s": 5.0,
    "answer_timeout_s": 20.0,
    "keep_alive_s": 30,
    "max_connections": 500,
    "worker_start_s": 60,
    "disk_reserve_mb": 50,
    "pointer_poll_s": 0.25,
    "drain_s": 5,
    "forecast_wait_s": 2.5,
    "refresh_after_s": 60.0,
    "predictions_kept": 5000,
    "recent_requests": 20,
    "mlflow_ui_url": "https://mlflow.example/ui",
    "worker_enabled": False,
    "worker_idle_s": 0.5,
    "job_lease_s": 90.0,
    "without_evidence": "promote",
    "evidence_deadline_days": 7.0,
    "retrain_on": "regime,schedule",
    "retrain_cron": "30 6 1 * mon-fri",
    "retrain_min_interval_h": 24.0,
    "drift_fault_rate": 0.05,
    "drift_regime_rate": 0.002,
    "drift_on_fault": "refuse",
    "drift_on_regime": "fallback",
    "auto_budget_s": 120.0,
    "training_pause_p95_ms": 50.0,
    "training_pause_max_s": 60.0,
    "training_threads": 8,
    "accelerator": "cpu",
    "source_timeout_s": 5.5,
    "source_attempts": 1,
    "source_backoff_s": 0.0,
    "log_level": "DEBUG",
    "log_format": "json",
}
"""A value for each setting that is not its default, as :meth:`Settings.model_dump` gives it."""


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty environment, in a folder without a file ``.env``."""
    for name in FIELDS:
        monkeypatch.delenv(f"CLOSECAST_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


# -- each setting -------------------------------------------------------------------------------


def test_every_setting_is_tested_here() -> None:
    assert CHANGED.keys() == FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_has_a_sentence(name: str) -> None:
    sentence = FIELDS[name].description or ""
    assert len(sentence.split()) >= 2
    assert sentence.endswith(".")


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.annotation in (int, float)])
def test_a_number_has_bounds_on_both_sides(name: str) -> None:
    bounds = {type(bound).__name__.lower() for bound in FIELDS[name].metadata}
    assert bounds & {"ge", "gt"}
    assert bounds & {"le", "lt"}


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.annotation is float])
def test_a_quantity_has_its_unit_in_its_name(name: str) -> None:
    assert name.endswith(("_s", "_ms", "_h", "_days", "_rate"))


@pytest.mark.parametrize("name", CHANGED)
def test_a_setting_is_read_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unchanged = Settings().model_dump()
    monkeypatch.setenv(f"CLOSECAST_{name.upper()}", str(CHANGED[name]))
    expected = {**unchanged, name: CHANGED[name]}
    if name == "data_dir":
        expected["ledger_url"] = "sqlite:////somewhere/data/ledger.sqlite"
    assert Settings().model_dump() == expected


def test_without_any_variable_a_setting_has_its_default() -> None:
    assert {name: value_text(getattr(Settings(), name)) for name in FIELDS} == {
        name: default_text(name) for name in FIELDS
    }


@pytest.mark.parametrize("name", CHANGED)
def test_the_values_tried_here_are_not_the_defaults(name: str) -> None:
    assert Settings().model_dump()[name] != CHANGED[name]


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("port", 1, 65_535),
        ("workers", 1, 64),
        ("max_body_bytes", 1_000, 100_000_000),
        ("max_batch_body_bytes", 1_000, 1_000_000_000),
        ("max_json_depth", 4, 200),
        ("forecast_wait_s", 0, 300),
        ("refresh_after_s", 0, 86_400),
        ("predictions_kept", 100, 100_000_000),
        ("recent_requests", 0, 10_000),
        ("worker_idle_s", 0, 86_400),
        ("job_lease_s", 2, 3_600),
        ("retrain_min_interval_h", 1, 8_784),
        ("training_threads", 1, 256),
        ("drain_s", 0, 25),  # and a process is gone within 30 s
        ("training_pause_p95_ms", 0, 60_000),
        ("training_pause_max_s", 1, 86_400),
        ("source_attempts", 1, 20),
        ("source_backoff_s", 0, 300),
    ],
)
def test_a_number_is_taken_within_its_bounds_only(
    name: str, lowest: int, highest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fits in (lowest, highest):
        monkeypatch.setenv(f"CLOSECAST_{name.upper()}", str(fits))
        assert getattr(Settings(), name) == fits
    for does_not in (lowest - 1, highest + 1):
        monkeypatch.setenv(f"CLOSECAST_{name.upper()}", str(does_not))
        with pytest.raises(ValidationError, match=name):
            Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pointer_poll_s", "0"),
        ("pointer_poll_s", "2.1"),  # every process follows the pointer within 2 s
        ("body_timeout_s", "0"),
        ("body_timeout_s", "601"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.1/8"),  # host bits: was the host meant, or its network?
        *(
            (name, rate)
            for name in ("rate_limit", "rate_limit_train")
            for rate in (
                "0/minute",
                "-1/minute",
                "1.5/hour",
                "ten/minute",
                "10",
                "10/week",
                "10/minute;1/second",
            )
        ),
        ("source_timeout_s", "0"),
        ("source_timeout_s", "601"),
        ("job_lease_s", "nan"),
        ("worker_idle_s", "inf"),
        ("port", "http"),
        ("port", "80.5"),
        ("mlflow_ui_url", "mlflow:5000"),
        ("mlflow_ui_url", "javascript:alert(1)"),
        ("mlflow_ui_url", "file:///etc/passwd"),
        ("mlflow_ui_url", "https://"),
        ("mlflow_ui_url", "https://ann:secret@mlflow.example"),
        ("mlflow_ui_url", "https://mlflow.example/a b"),
        ("worker_enabled", "perhaps"),
        ("accelerator", "abacus"),
        ("log_level", "TRACE"),
        ("log_format", "yaml"),
        ("retrain_on", "sunday"),
        ("retrain_on", "schedule;regime"),
        ("retrain_on", "['schedule']"),
        ("retrain_cron", "weekly"),
        ("retrain_cron", "0 0 22 * * 6"),  # with seconds
        ("retrain_cron", "60 22 * * 6"),
        ("retrain_cron", "0 22 30 2 *"),  # never
        ("retrain_min_interval_h", "nan"),
        *((f"drift_{channel}_rate", "0.0009") for channel in ("fault", "regime")),
        *((f"drift_{channel}_rate", "0.201") for channel in ("fault", "regime")),
        *((f"drift_{channel}_rate", "nan") for channel in ("fault", "regime")),
        ("drift_on_fault", "ignore"),
        ("drift_on_regime", "refuse"),  # a market is no fault of the caller's
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLOSECAST_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        (" , ", set()),
        ("schedule", {"schedule"}),
        ("schedule,regime", {"schedule", "regime"}),
        (" regime , schedule,", {"schedule", "regime"}),
    ],
)
def test_names_are_read_with_commas_between_them(
    text: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOSECAST_RETRAIN_ON", text)
    assert Settings().retrain_on == names


def test_names_may_come_as_a_set() -> None:
    assert Settings(retrain_on=frozenset({"regime"})).retrain_on == {"regime"}


def test_an_unknown_name_lists_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_RETRAIN_ON", "schedule,sunday")
    with pytest.raises(ValidationError, match="unknown: sunday; valid: schedule, regime") as caught:
        Settings()
    assert describe(caught.value).startswith("a setting cannot work: CLOSECAST_RETRAIN_ON: ")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("weekly", "it has 1"),
        ("0 25 * * *", "Bad hour"),
        ("0 22 31 4 *", "Bad day-of-month"),
        ("0 22 29 2 8", "Bad day-of-week"),
    ],
)
def test_a_cron_expression_that_cannot_work_is_shown_with_what_was_expected(
    expression: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(retrain_cron=expression)
    message = describe(caught.value)
    expected = "minute, hour, day of month, month, day of week"
    assert message.startswith("a setting cannot work: CLOSECAST_RETRAIN_CRON: ")
    assert all(part in message for part in (repr(expression), expected, reason))


# -- where they come from -----------------------------------------------------------------------


def test_a_variable_without_the_prefix_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("HOST", "example.org")
    assert (Settings().port, Settings().host) == (8000, "127.0.0.1")


def test_a_file_is_read_and_the_environment_outranks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CLOSECAST_PORT=1111\nCLOSECAST_WORKERS=2\nPATH=/nowhere\n")
    monkeypatch.setenv("CLOSECAST_PORT", "2222")
    assert (Settings().port, Settings().workers) == (2222, 2)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("empty", ["", "  "], ids=["empty", "blanks"])
def test_an_empty_variable_counts_as_unset(
    name: str, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchanged = Settings()
    monkeypatch.setenv(f"CLOSECAST_{name.upper()}", empty)
    assert Settings() == unchanged


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_line_of_the_file_counts_as_unset(name: str, tmp_path: Path) -> None:
    unchanged = Settings()
    (tmp_path / ".env").write_text(f"CLOSECAST_{name.upper()}=\n")
    assert Settings() == unchanged


@pytest.mark.parametrize(
    "name", ["mlflow_tracking_uri", "rate_limit", "rate_limit_train", "api_keys_file", "retrain_on"]
)
@pytest.mark.parametrize("spelling", ["off", "OFF"])
def test_off_empties_a_setting_of_text(
    name: str, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLOSECAST_{name.upper()}", spelling)
    assert not getattr(Settings(), name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_level", "debug", "DEBUG"),
        ("log_format", "JSON", "json"),
        ("accelerator", " Cpu ", "cpu"),
        ("host", '"0.0.0.0"', "0.0.0.0"),
        ("port", "'8080'", 8080),
        ("models_url", " s3://bucket/Models ", "s3://bucket/Models"),
        ("worker_enabled", "False ", False),
    ],
)
def test_quotes_blanks_and_the_case_of_choices_do_not_matter(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's ``--env-file`` keeps quotes and blanks; people write levels in any case."""
    monkeypatch.setenv(f"CLOSECAST_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_the_ledger_follows_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_DATA_DIR", "/srv/closecast")
    assert Settings().ledger_url == "sqlite:////srv/closecast/ledger.sqlite"
    monkeypatch.setenv("CLOSECAST_LEDGER_URL", "sqlite:///elsewhere.sqlite")
    assert Settings().ledger_url == "sqlite:///elsewhere.sqlite"


def test_a_data_folder_that_cannot_be_is_the_only_fault_named() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(data_dir=3)  # type: ignore[arg-type]
    assert [error["loc"] for error in caught.value.errors()] == [("data_dir",)]


def test_an_argument_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_PORT", "2222")
    assert Settings(port=3333).port == 3333


def test_settings_pass_to_another_process_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor hands them to its worker this way."""
    settings = Settings(**CHANGED)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_settings_that_are_empty_pass_to_another_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CLOSECAST_RATE_LIMIT=5/minute\n")
    settings = Settings(mlflow_tracking_uri="", rate_limit="", rate_limit_train="")
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.fixture
def _forgotten() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("_forgotten")
def test_a_process_reads_its_settings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSECAST_PORT", "1111")
    first = get_settings()
    monkeypatch.setenv("CLOSECAST_PORT", "2222")
    assert get_settings() is first
    assert first.port == 1111
