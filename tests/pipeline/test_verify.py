"""``closecast verify``: everything that can be made again is made again, and compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.cli.main import main
from closecast.core import dataset
from closecast.drift.reference import sample_reference
from closecast.drift.statistics import STATISTICS
from closecast.errors import UnknownVersion
from closecast.forecasters.ewma import EwmaForecaster, EwmaPredictor
from closecast.forecasters.files import STATE_FILE
from closecast.pipeline import run_training
from closecast.pipeline.verification.checks import CheckFailed, check_preprocessing
from closecast.pipeline.verification.reproduce import closes_of, remake
from closecast.pipeline.verification.verify import Verification, verify
from closecast.registry.documents import (
    BASELINE_FILE,
    CLOSES_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
)
from closecast.registry.registry import Registry
from closecast.serving.bundle import LoadedBundle
from closecast.settings import Settings, as_environment
from tests.conftest import settings_in
from tests.support.csv_pool import POOL, pool_request, pool_settings, write_pool

NAMES = (
    *("files", "closes", "preprocessing", "look-ahead", "calibration", "evaluation"),
    *("training again", "another future"),
)


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ``ewma``, a tiny ``mlp``, and another ``mlp`` that began from the first one's weights."""
    folder = tmp_path_factory.mktemp("published")
    settings = write_pool(folder)
    registry = Registry(settings.models_url)
    for fine_tune in (False, True):
        request = pool_request(settings, "mlp").model_copy(update={"fine_tune": fine_tune})
        version = run_training(settings, request).manifest.version
        for symbol in POOL:
            registry.promote(symbol, version, "to start from", by="tests")
    return folder


@pytest.fixture
def pool(_published: Path, tmp_path: Path) -> Settings:
    shutil.copytree(_published, tmp_path, dirs_exist_ok=True)
    return pool_settings(tmp_path)


def version_of(settings: Settings, forecaster: str, *, fine_tuned: bool = False) -> str:
    return next(
        manifest.version
        for manifest in Registry(settings.models_url).versions()
        if manifest.info.forecaster == forecaster
        and (manifest.info.fine_tuned_from is not None) is fine_tuned
    )


def outcomes(found: Verification) -> dict[str, str]:
    return {check.name: check.outcome for check in found.checks}


def said(found: Verification, name: str) -> str:
    return next(check.said for check in found.checks if check.name == name)


def forged(
    settings: Settings, files: Mapping[str, bytes | None], forecaster: str = "ewma", **info: Any
) -> str:
    """A bundle like an honest one but for some files, with the hashes that these files have."""
    registry = Registry(settings.models_url)
    honest = registry.load(version_of(settings, forecaster))
    kept = {**honest.files, **files}
    return registry.publish(
        honest.manifest.info.model_copy(update=info),
        {name: content for name, content in kept.items() if content is not None},
    ).version


def test_a_bundle_from_before_its_forecaster_was_renamed_is_verified(pool: Settings) -> None:
    """``random_walk_drift`` was called ``drift``: in requests, manifests and evaluations."""
    registry = Registry(pool.models_url)
    made = registry.load(run_training(pool, pool_request(pool, "drift")).manifest.version)
    assert made.manifest.info.forecaster == "random_walk_drift"
    former = {
        name: content.replace(b'"random_walk_drift"', b'"drift"')
        for name, content in made.files.items()
    }
    assert former[EVALUATION_FILE] != made.files[EVALUATION_FILE]
    info = made.manifest.info.model_copy(update={"forecaster": "drift"})
    version = registry.publish(info, former).version
    found = verify(pool, version)
    assert found.passed, found.checks
    assert LoadedBundle(registry.load(version)).predictor.name == "random_walk_drift"


def tree(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if not p.name.endswith("lock")}


@pytest.mark.parametrize("forecaster", ["ewma", "mlp"])
def test_an_honest_bundle_passes_and_nothing_is_written(pool: Settings, forecaster: str) -> None:
    before = tree(pool.data_dir.parent)
    found = verify(pool, version_of(pool, forecaster))
    assert outcomes(found) == dict.fromkeys(NAMES, "passed"), found
    assert found.passed
    assert "the same bits" in said(found, "training again")
    assert "bit for bit" in said(found, "another future")
    assert tree(pool.data_dir.parent) == before


def test_it_needs_neither_the_source_nor_the_collected_closes(pool: Settings) -> None:
    shutil.rmtree(pool.data_dir)
    for symbol in POOL:
        (pool.data_dir.parent / f"{symbol}.csv").unlink()
    assert verify(pool, version_of(pool, "ewma")).passed


def test_the_days_are_others_each_time_unless_the_seed_is_named(pool: Settings) -> None:
    version = version_of(pool, "ewma")
    first, second = (said(verify(pool, version, quick=True), "look-ahead") for _ in range(2))
    assert first != second
    again = [verify(pool, version, quick=True, seed=7) for _ in range(2)]
    assert again[0] == again[1]
    assert "--seed 7" in said(again[0], "look-ahead")


def test_quick_leaves_the_trainings_out_and_says_so(pool: Settings) -> None:
    found = verify(pool, version_of(pool, "mlp"), quick=True)
    assert found.passed
    assert outcomes(found)["training again"] == outcomes(found)["another future"] == "left out"
    assert "--quick" in said(found, "training again")


def test_a_fine_tuned_bundle_starts_from_its_parent_again(pool: Settings) -> None:
    found = verify(pool, version_of(pool, "mlp", fine_tuned=True))
    assert outcomes(found) == dict.fromkeys(NAMES, "passed"), found


def test_without_the_parent_a_fine_tuning_cannot_be_repeated(pool: Settings) -> None:
    version = version_of(pool, "mlp", fine_tuned=True)
    parent = Registry(pool.models_url).manifest(version).info.fine_tuned_from
    shutil.rmtree(Path(pool.models_url) / "bundles" / str(parent))
    found = verify(pool, version)
    assert outcomes(found)["training again"] == outcomes(found)["another future"] == "not possible"
    assert f"no bundle {parent}" in said(found, "training again")
    assert found.passed


def test_a_bundle_without_its_closes_cannot_be_made_again(pool: Settings) -> None:
    found = verify(pool, forged(pool, {CLOSES_FILE: None}))
    assert outcomes(found) == {"files": "passed", "closes and preprocessing": "not possible"}
    assert "train it again" in found.checks[-1].said


def test_an_unknown_version_is_an_error(pool: Settings) -> None:
    with pytest.raises(UnknownVersion):
        verify(pool, "20200101T000000Z-00000000")


# -- what is not as it should be ----------------------------------------------------------------


def test_a_changed_file_fails(pool: Settings) -> None:
    version = version_of(pool, "ewma")
    path = Path(pool.models_url) / "bundles" / version / INTERVALS_FILE
    path.write_bytes(path.read_bytes() + b" ")
    found = verify(pool, version)
    assert outcomes(found) == {"files": "failed"}
    assert INTERVALS_FILE in found.checks[0].said


def test_a_file_that_the_manifest_does_not_name_fails(pool: Settings) -> None:
    version = version_of(pool, "ewma")
    (Path(pool.models_url) / "bundles" / version / "more.txt").write_text("?")
    assert "more.txt" in said(verify(pool, version), "files")


def test_closes_of_another_bundle_fail(pool: Settings) -> None:
    spans = Registry(pool.models_url).manifest(version_of(pool, "ewma")).info.data
    other = tuple(span.model_copy(update={"content_hash": "0" * 64}) for span in spans)
    found = verify(pool, forged(pool, {}, data=other))
    assert outcomes(found)["closes and preprocessing"] == "failed"


def test_parts_cut_elsewhere_fail(pool: Settings) -> None:
    spans = Registry(pool.models_url).manifest(version_of(pool, "ewma")).info.data
    later = tuple(span.model_copy(update={"test_start": "2023-01-03"}) for span in spans)
    found = verify(pool, forged(pool, {}, data=later))
    assert "2023-01-03" in found.checks[-1].said
    assert not found.passed


def changed_json(settings: Settings, name: str, change: Any) -> dict[str, bytes | None]:
    document = json.loads(
        Registry(settings.models_url).load(version_of(settings, "ewma")).files[name]
    )
    change(document)
    return {name: json.dumps(document).encode()}


def test_a_calibration_that_was_retouched_fails(pool: Settings) -> None:
    def narrow(document: Any) -> None:
        scores = document["AAA"]["scores"]
        document["AAA"]["scores"] = (0.9 * np.array(scores)).tolist()

    found = verify(pool, forged(pool, changed_json(pool, INTERVALS_FILE, narrow)), quick=True)
    assert outcomes(found)["calibration"] == outcomes(found)["look-ahead"] == "failed"
    assert "AAA" in said(found, "calibration")


def test_live_states_of_another_model_fail(pool: Settings) -> None:
    other = Registry(pool.models_url).load(version_of(pool, "mlp")).files[LIVE_FILE]
    found = verify(pool, forged(pool, {LIVE_FILE: other}), quick=True)
    assert outcomes(found)["calibration"] == "failed"
    assert LIVE_FILE in said(found, "calibration")


def test_a_drift_baseline_of_something_else_fails(pool: Settings) -> None:
    files = changed_json(pool, BASELINE_FILE, lambda document: document.pop("BBB"))
    found = verify(pool, forged(pool, files))
    assert BASELINE_FILE in found.checks[-1].said
    assert not found.passed


def test_a_bundle_that_is_older_than_a_drift_statistic_is_made_again_without_it(
    pool: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(pool, "ewma")
    monkeypatch.setitem(STATISTICS, "extra", STATISTICS["trend_week"])
    sample_reference.cache_clear()
    try:
        found = verify(pool, version, quick=True)
    finally:
        sample_reference.cache_clear()
    assert outcomes(found)["preprocessing"] == "passed"


@pytest.mark.parametrize("where", ["overall", "step", "origins"])
def test_an_evaluation_that_was_retouched_fails(pool: Settings, where: str) -> None:
    def flatter(document: Any) -> None:
        row = document["BBB"]["rows"][1]
        if where == "overall":
            row["overall"]["crps_ratio"] *= 1 - 1e-6
        elif where == "step":
            row["steps"][2]["mae"] *= 0.99
        else:
            document["BBB"]["origins"] -= 1

    found = verify(pool, forged(pool, changed_json(pool, EVALUATION_FILE, flatter)), quick=True)
    assert outcomes(found)["evaluation"] == "failed"
    assert said(found, "evaluation").startswith("BBB")


def test_a_row_that_is_missing_fails(pool: Settings) -> None:
    files = changed_json(pool, EVALUATION_FILE, lambda d: d["AAA"]["rows"].pop(0))
    found = verify(pool, forged(pool, files), quick=True)
    assert "there is no row" in said(found, "evaluation")


def test_a_model_that_training_does_not_lead_to_fails(pool: Settings) -> None:
    def louder(document: Any) -> None:
        shape = np.array(document["shape_quantiles"])
        document["long_run"] *= 30  # the floor rules
        document["shape_quantiles"] = (3 * shape).tolist()

    found = verify(pool, forged(pool, changed_json(pool, STATE_FILE, louder)))
    assert outcomes(found)["training again"] == "failed"
    assert "crps_ratio" in said(found, "training again")


def test_a_training_that_looks_at_the_test_part_fails(
    pool: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not through its arguments: those are in the report, where the leak check looks."""
    lively = []
    cut, fit = dataset._cut, EwmaForecaster._fit

    def remember(*arguments: Any) -> dataset.Split:
        split = cut(*arguments)
        lively.append(float(np.abs(dataset.log_returns(split.test.closes)).mean()))
        return split

    def peeking(*arguments: Any, **options: Any) -> EwmaPredictor:
        honest = fit(*arguments, **options)
        return EwmaPredictor(
            honest.seq_length,
            honest.horizon,
            honest.long_run,
            honest.shape_quantiles * (1 + lively[-1]),
        )

    monkeypatch.setattr(dataset, "_cut", remember)
    monkeypatch.setattr(EwmaForecaster, "_fit", peeking)
    request = pool_request(pool)
    version = run_training(pool, request).manifest.version
    found = verify(pool, version)
    assert outcomes(found)["training again"] == "passed"
    assert outcomes(found)["another future"] == "failed"
    assert STATE_FILE in said(found, "another future")


def test_other_libraries_are_named(pool: Settings) -> None:
    version = forged(pool, {}, libraries={"numpy": "1.0"})
    assert "numpy 1.0 then" in said(verify(pool, version), "training again")


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def here(pool: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in as_environment(pool).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(pool.data_dir.parent)
    return pool


def test_the_command_prints_a_line_per_check(
    here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", version_of(here, "ewma"), "--quick", "--seed", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if line[0] != " "] == ["passed"] * 6 + ["left"] * 2
    assert max(map(len, printed)) <= 100


def test_the_command_ends_with_1_if_a_check_fails(
    here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    version = forged(here, {INTERVALS_FILE: b"{}"})
    path = Path(here.models_url) / "bundles" / version / INTERVALS_FILE
    path.write_bytes(b"{ }")
    with pytest.raises(SystemExit) as ended:
        main(["verify", version])
    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith("failed        files")


def test_the_command_names_an_unknown_version_in_one_line(here: Settings) -> None:
    for version in ("20200101T000000Z-00000000", "latest"):
        with pytest.raises(SystemExit) as ended:
            main(["verify", version])
        assert version in str(ended.value.code)
        assert "\n" not in str(ended.value.code)


def test_the_drift_baseline_of_an_earlier_method_is_compared_in_its_levels(
    tmp_path: Path,
) -> None:
    """A bundle of commit 2a7cc8d; its share of still days weighed all years alike."""
    kept = Path(__file__).parent.parent / "registry" / "data" / "2a7cc8d"
    registry = Registry(str(kept))
    [version] = [folder.name for folder in (kept / "bundles").iterdir()]
    bundle = registry.load(version)
    remade = remake(settings_in(tmp_path), bundle, closes_of(bundle))
    assert f"{BASELINE_FILE} is the same" in check_preprocessing(bundle, remade)
    document = json.loads(bundle.files[BASELINE_FILE])
    document["MSFT"]["volatility"] *= 1.01
    files = {**bundle.files, BASELINE_FILE: json.dumps(document).encode()}
    with pytest.raises(CheckFailed, match=BASELINE_FILE):
        check_preprocessing(replace(bundle, files=files), remade)


def test_a_bundle_of_earlier_drift_statistics_passes_every_check(tmp_path: Path) -> None:
    """Another future is preprocessed by the rules of the bundle, not by those of today's code."""
    kept = Path(__file__).parent.parent / "registry" / "data" / "2a7cc8d"
    settings = settings_in(tmp_path).model_copy(update={"models_url": str(kept)})
    [version] = [folder.name for folder in (kept / "bundles").iterdir()]
    before = tree(kept)
    found = verify(settings, version, seed=5)
    assert outcomes(found) == dict.fromkeys(NAMES, "passed"), found
    assert tree(kept) == before
