"""What every forecaster must do. Subclass it and name the forecaster and small parameters."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
import zipfile
from abc import ABC
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle, TooFewCloses
from closecast.forecasters import (
    FORECASTERS,
    Forecaster,
    Predictor,
    load_predictor,
    make_forecaster,
    make_parameters,
    parameters_type,
)
from closecast.sources.price_cache import PriceCache
from tests.support.synthetic_prices import as_prices, garch

made_patiently = hypothesis_settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
"""The predictor of the fixture never changes, whichever subclass asks."""

TRAIN = garch(500, seed=1)
_AFTER = str(np.busday_offset(TRAIN.sessions[-1], 1))
VALID = as_prices(garch(200, seed=2).closes, first=_AFTER)
OTHER = garch(150, seed=3, symbol="OTHER")
OTHER_VALID = as_prices(garch(150, seed=13).closes, "OTHER", first=_AFTER)
TEST = garch(400, seed=4)


def _panel() -> list[Prices]:
    """Another start, gaps, another exchange, every day of the week; the first is the longest."""
    whole, other, late, abroad, coin = (
        garch(n, seed) for seed, n in enumerate((300, 300, 180, 250, 250))
    )
    kept = np.random.default_rng(9).random(300) > 0.1
    days = np.datetime64("2010-02-01") + np.arange(250)
    return [
        whole,
        Prices("GAPS", other.sessions[kept], other.closes[kept], "made"),
        as_prices(late.closes, "LATE", first=str(whole.sessions[120])),
        as_prices(abroad.closes, "MADE.SA", first="2010-01-20"),
        Prices("MADE-USD", days, coin.closes, "made"),
    ]


PANEL = _panel()
DAYS = PANEL[0].sessions


def _rows_until(prices: Prices, day: np.datetime64) -> int:
    return int(np.searchsorted(prices.sessions, day, side="right"))


def _with_future(prices: Prices, day: np.datetime64, future: str) -> Prices:
    """The same closes up to a day, and others after it."""
    cut = _rows_until(prices, day)
    n = len(prices) - cut
    if future == "as it was":
        return prices
    noise = np.random.default_rng(cut).normal(0, 0.3, n) if future == "noise" else np.full(n, -0.7)
    closes = np.concatenate([prices.closes[:cut], prices.closes[cut:] * np.exp(noise)])
    return Prices(prices.symbol, prices.sessions, closes, prices.source, prices.basis)


_IN_ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
from types import MappingProxyType
import numpy as np
from closecast.forecasters import load_predictor
from closecast.sources.price_cache import PriceCache

folder = Path(sys.argv[1])
files = {path.name: path.read_bytes() for path in (folder / "files").iterdir()}
windows = np.load(folder / "windows.npy", allow_pickle=False)
series = [PriceCache(folder).get(symbol) for symbol in json.loads(sys.argv[3])]
predictor = load_predictor(sys.argv[2], files)
answers = [
    {name: getattr(forecast, name).tolist() for name in ("location", "scale", "quantiles")}
    for forecast in (predictor.predict_batch(windows), *predictor.predict_along(series, 20))
]
heavy = [name for name in ("torch", "mlflow", "pandas", "scipy") if name in sys.modules]
print(json.dumps([answers, heavy]))
"""


def same(one: Forecast, other: Forecast) -> bool:
    """Whether two forecasts are equal, bit for bit."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("last_close", "location", "scale", "probabilities", "quantiles")
    )


def near(values: FloatArray, expected: FloatArray, rel: float, abs_: float = 1e-12) -> bool:
    """The same as ``pytest.approx``, which takes a second for an array of this size."""
    room = np.maximum(rel * np.abs(expected), abs_)
    return values.shape == expected.shape and bool((np.abs(values - expected) <= room).all())


@lru_cache
def _fitted(name: str, parameters: str) -> Predictor:
    """Fitting is the slow part: once per forecaster and process."""
    recipe = make_forecaster(name, make_parameters(name, json.loads(parameters)))
    return recipe.fit([TRAIN], [VALID])


@lru_cache
def _along_the_panel(name: str, parameters: str) -> list[Forecast]:
    return _fitted(name, parameters).predict_along(PANEL)


class ForecasterContract(ABC):
    """The checks. With ``parameters`` a fit takes a second or two at most."""

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, Any]] = MappingProxyType({"seq_length": 20, "horizon": 5})

    def recipe(self, **changes: Any) -> Forecaster:
        """A fresh forecaster."""
        values = {**self.parameters, **changes}
        return make_forecaster(self.name, make_parameters(self.name, values))

    @pytest.fixture
    def predictor(self) -> Predictor:
        """A trained one; immutable, so tests share it."""
        return _fitted(self.name, self._written)

    @pytest.fixture
    def along(self) -> list[Forecast]:
        """Its answers along ``PANEL``, which several tests compare with others."""
        return _along_the_panel(self.name, self._written)

    @property
    def _written(self) -> str:
        return json.dumps(dict(self.parameters), sort_keys=True)

    @pytest.fixture
    def windows(self, predictor: Predictor) -> FloatArray:
        """A few windows of rows that nothing was fitted to, shape (9, seq_length)."""
        n = predictor.seq_length
        return np.stack([TEST.closes[i : i + n] for i in range(0, 90, 10)])

    # -- the registry's names ----------------------------------------------------------------

    def test_is_registered_with_all_its_sides(self, predictor: Predictor) -> None:
        recipe = self.recipe()
        assert self.name in FORECASTERS
        assert recipe.name == predictor.name == self.name
        assert type(recipe.parameters) is parameters_type(self.name) is type(recipe).Parameters

    def test_needs_no_parameters(self) -> None:
        assert make_forecaster(self.name).parameters == parameters_type(self.name)()

    # -- fit ---------------------------------------------------------------------------------

    def test_fit_changes_nothing_in_the_recipe(self) -> None:
        recipe = self.recipe()
        before = copy.deepcopy(vars(recipe))
        recipe.fit([TRAIN], [VALID])
        assert vars(recipe) == before

    def test_same_seed_same_predictions(self, predictor: Predictor, windows: FloatArray) -> None:
        again = self.recipe().fit([TRAIN], [VALID])
        assert same(again.predict_batch(windows), predictor.predict_batch(windows))

    def test_fit_does_not_touch_the_randomness_of_others(self) -> None:
        np.random.seed(5)  # noqa: NPY002
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(5)  # noqa: NPY002
        self.recipe().fit([TRAIN], [VALID])
        assert np.random.random() == expected  # noqa: NPY002

    def test_fits_several_series_at_once(self, predictor: Predictor, windows: FloatArray) -> None:
        answer = self.recipe().fit([TRAIN, OTHER], [VALID, OTHER_VALID]).predict_batch(windows)
        assert np.isfinite(answer.quantiles).all()
        alone = predictor.predict_batch(windows)
        assert not same(answer, alone), "the second series taught nothing"

    def test_windows_are_never_cut_across_two_series(self, windows: FloatArray) -> None:
        """A jump from one series' level to another's is no return."""
        far_away = as_prices(1000 * OTHER.closes, "OTHER")
        here, there = (
            self.recipe().fit([TRAIN, s], [VALID, OTHER_VALID]) for s in (OTHER, far_away)
        )
        assert here.predict_batch(windows).quantiles == pytest.approx(
            there.predict_batch(windows).quantiles, abs=1e-4
        )

    def test_a_series_too_short_for_one_window_is_refused(self) -> None:
        needed = self.recipe().parameters.seq_length + self.recipe().parameters.horizon
        short = TRAIN.rows(0, needed - 1)
        with pytest.raises(TooFewCloses, match=f"{needed - 1} closes, at least {needed}"):
            self.recipe().fit([TRAIN, short], [VALID, OTHER_VALID])

    # -- predict -----------------------------------------------------------------------------

    def test_a_batch_has_a_row_per_window(self, predictor: Predictor, windows: FloatArray) -> None:
        answer = predictor.predict_batch(windows)
        n, horizon = len(windows), predictor.horizon
        assert (predictor.seq_length, horizon) == (
            self.recipe().parameters.seq_length,
            self.recipe().parameters.horizon,
        )
        assert answer.last_close.tolist() == windows[:, -1].tolist()
        assert answer.location.shape == answer.scale.shape == (n, horizon)
        assert answer.quantiles.shape == (n, horizon, len(PROBABILITIES))
        assert answer.probabilities.tolist() == PROBABILITIES.tolist()

    def test_quantiles_never_cross(self, predictor: Predictor, windows: FloatArray) -> None:
        assert (np.diff(predictor.predict_batch(windows).quantiles) >= 0).all()

    def test_the_spread_grows_with_the_steps(
        self, predictor: Predictor, windows: FloatArray
    ) -> None:
        scale = predictor.predict_batch(windows).scale
        assert (scale[:, -1] > scale[:, 0]).all()

    def test_one_window_is_answered_like_a_batch_of_one(
        self, predictor: Predictor, windows: FloatArray
    ) -> None:
        for window in windows:
            assert same(predictor.predict(window), predictor.predict_batch(window[None])[0])

    def test_what_else_is_in_the_batch_does_not_matter(
        self, predictor: Predictor, windows: FloatArray
    ) -> None:
        together, alone = predictor.predict_batch(windows), predictor.predict_batch(windows[4:5])
        assert together.quantiles[4] == pytest.approx(alone.quantiles[0], rel=1e-5, abs=1e-8)

    def test_location_and_scale_alone_are_the_same_bits(
        self, predictor: Predictor, windows: FloatArray
    ) -> None:
        whole = predictor.predict_batch(windows)
        for location, scale in (predictor.location_scale(windows), predictor.steps(windows)()):
            assert (location == whole.location).all()
            assert (scale == whole.scale).all()

    def test_predicting_changes_nothing(self, predictor: Predictor, windows: FloatArray) -> None:
        first = predictor.predict_batch(windows)
        predictor.predict_batch(windows[::-1] * 7)
        assert same(predictor.predict_batch(windows), first)

    @pytest.mark.parametrize("factor", [1000.0, 0.01, 5.3])
    def test_forecasts_follow_the_currency(
        self, predictor: Predictor, windows: FloatArray, factor: float
    ) -> None:
        here, there = (predictor.predict_batch(w) for w in (windows, factor * windows))
        assert there.price == pytest.approx(factor * here.price, rel=1e-6)
        for end, end_there in zip(here.interval(0.95), there.interval(0.95), strict=True):
            assert end_there == pytest.approx(factor * end, rel=1e-6)

    def test_a_model_trained_in_another_currency_forecasts_the_same(
        self, predictor: Predictor, windows: FloatArray
    ) -> None:
        dear = [
            as_prices(1000 * s.closes, s.symbol, first=str(s.sessions[0])) for s in (TRAIN, VALID)
        ]
        there = self.recipe().fit(dear[:1], dear[1:]).predict_batch(windows)
        # Rounding of the logarithms is all that differs; a network's training amplifies it.
        assert there.quantiles == pytest.approx(
            predictor.predict_batch(windows).quantiles, abs=1e-4
        )

    @pytest.mark.parametrize(
        "window",
        [
            lambda n: np.full(n, 42.0),
            lambda n: np.append(np.full(n - 1, 42.0), 43.0),
            lambda n: np.append(np.full(n - 1, 42.0), 4200.0),
            lambda n: np.append(np.full(n - 1, 1e12), 1e-9),
            lambda n: np.geomspace(1e-9, 1e12, n),
        ],
        ids=["frozen", "frozen, then moved", "wrong unit", "collapse", "rocket"],
    )
    def test_an_odd_window_gets_a_finite_answer(self, predictor: Predictor, window: Any) -> None:
        answer = predictor.predict(window(predictor.seq_length))
        ends = [answer.price, *answer.interval(0.95)]
        assert all(np.isfinite(prices).all() and (prices >= 0).all() for prices in ends)
        assert np.isfinite(answer.scale).all()
        assert (answer.scale > 0).all()

    # -- series with their histories ----------------------------------------------------------

    def test_along_a_series_there_is_a_row_per_origin(
        self, predictor: Predictor, along: list[Forecast]
    ) -> None:
        for prices, answer in zip(PANEL, along, strict=True):
            closes = prices.closes[predictor.seq_length - 1 :]
            assert answer.last_close.tolist() == closes.tolist()
            assert answer.quantiles.shape == (len(closes), predictor.horizon, len(PROBABILITIES))
            assert (np.diff(answer.quantiles) >= 0).all()

    def test_says_honestly_whether_it_uses_history(
        self, predictor: Predictor, along: list[Forecast]
    ) -> None:
        n = predictor.seq_length
        for prices, answer in zip(PANEL, along, strict=True):
            alone = predictor.predict_batch(sliding_window_view(prices.closes, n))
            assert same(answer, alone) is not predictor.uses_history

    def test_who_uses_no_history_knows_no_other_series(
        self, predictor: Predictor, along: list[Forecast]
    ) -> None:
        [alone] = predictor.predict_along(PANEL[:1])
        assert same(along[0], alone) is not predictor.uses_history

    @pytest.mark.parametrize("newest", [1, 7, 90, 10_000])
    def test_the_newest_rows_are_the_last_ones_of_all(
        self, predictor: Predictor, along: list[Forecast], newest: int
    ) -> None:
        some = predictor.predict_along(PANEL, newest)
        for all_rows, last_rows in zip(along, some, strict=True):
            assert len(last_rows.location) == min(newest, len(all_rows.location))
            assert same(last_rows, all_rows[-len(last_rows.location) :])

    @made_patiently
    @given(
        cut=st.integers(25, 260),
        members=st.sets(st.integers(0, 4), min_size=1),
        future=st.sampled_from(["as it was", "noise", "crash"]),
    )
    def test_what_comes_later_changes_no_earlier_answer(
        self, predictor: Predictor, cut: int, members: set[int], future: str
    ) -> None:
        """Other starts, gaps, another exchange: cut at one day, or with another future."""
        n, day = predictor.seq_length, DAYS[cut]
        rows = {i: _rows_until(PANEL[i], day) for i in members}
        begun = sorted(i for i in members if rows[i] >= n)
        unborn = sorted(i for i in members if rows[i] == 0)  # known of, without a close so far
        if not begun:
            return
        then = predictor.predict_along([PANEL[i].rows(0, rows[i]) for i in begun])
        later = predictor.predict_along(
            [_with_future(PANEL[i], day, future) for i in begun + unborn]
        )
        for i, one, other in zip(begun, then, later, strict=False):
            assert len(one.location) == rows[i] - n + 1
            assert same(one, other[: len(one.location)])

    def test_who_begins_later_changes_no_earlier_answer(self, predictor: Predictor) -> None:
        early, late = PANEL[0], PANEL[2]
        before = _rows_until(early, late.sessions[0] - 1) - predictor.seq_length + 1
        together, _ = predictor.predict_along([early, late])
        [alone] = predictor.predict_along([early])
        assert before > 20
        assert same(together[:before], alone[:before])

    def test_the_order_of_series_is_that_of_the_answers(
        self, predictor: Predictor, along: list[Forecast]
    ) -> None:
        backward = predictor.predict_along(PANEL[::-1])
        for one, other in zip(along, backward[::-1], strict=True):
            assert near(one.quantiles, other.quantiles, rel=1e-9)

    def test_a_series_as_long_as_a_window_has_one_origin(self, predictor: Predictor) -> None:
        exactly = PANEL[0].rows(0, predictor.seq_length)
        [answer] = predictor.predict_along([exactly])
        assert answer.last_close.tolist() == [exactly.closes[-1]]
        assert np.isfinite(answer.quantiles).all()

    @pytest.mark.parametrize("closes", [1, 2, 9, "one less"])
    def test_a_series_shorter_than_a_window_is_refused(
        self, predictor: Predictor, closes: int | str
    ) -> None:
        n = predictor.seq_length
        short = n - 1 if isinstance(closes, str) else closes
        with pytest.raises(TooFewCloses, match=f"MADE: {short} closes, a forecast needs {n}"):
            predictor.predict_along([PANEL[1], PANEL[0].rows(0, short)])

    @pytest.mark.parametrize("stretch", [40, 280])
    def test_a_series_that_stands_still_gets_a_finite_answer(
        self, predictor: Predictor, stretch: int
    ) -> None:
        closes = PANEL[0].closes.copy()
        closes[-stretch:] = closes[-stretch]
        frozen = as_prices(closes, "STILL")
        for answer in predictor.predict_along([frozen, PANEL[1]]):
            assert np.isfinite(answer.quantiles).all()
            assert (answer.scale > 0).all()
            assert (np.diff(answer.quantiles) >= 0).all()

    @pytest.mark.parametrize("factor", [1000.0, 0.01, 5.3])
    def test_along_a_series_the_currency_does_not_matter(
        self, predictor: Predictor, along: list[Forecast], factor: float
    ) -> None:
        dear = [as_prices(factor * PANEL[0].closes, "MADE"), *PANEL[1:]]
        there = predictor.predict_along(dear)
        for one, other in zip(along, there, strict=True):
            assert near(other.quantiles, one.quantiles, rel=1e-5, abs_=1e-9)

    # -- files -------------------------------------------------------------------------------

    def test_files_make_the_same_predictor_in_a_new_process_without_torch(
        self, predictor: Predictor, windows: FloatArray, tmp_path: Path
    ) -> None:
        (tmp_path / "files").mkdir()
        for name, content in predictor.to_files().items():
            (tmp_path / "files" / name).write_bytes(content)
        np.save(tmp_path / "windows.npy", windows)
        for prices in PANEL:
            PriceCache(tmp_path).put(prices)
        symbols = json.dumps([prices.symbol for prices in PANEL])
        command = [sys.executable, "-c", _IN_ANOTHER_PROCESS, str(tmp_path), self.name, symbols]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        answers, loaded = json.loads(run.stdout)
        here = [predictor.predict_batch(windows), *predictor.predict_along(PANEL, 20)]
        for answer, forecast in zip(answers, here, strict=True):
            for name, values in answer.items():
                assert np.array_equal(np.array(values), getattr(forecast, name)), name
        assert loaded == []

    def test_files_hold_nothing_that_executes_on_load(self, predictor: Predictor) -> None:
        readers = {
            ".json": lambda content: json.loads(content),
            ".onnx": _read_onnx,
            ".safetensors": _read_safetensors,
            ".npz": _read_arrays,
        }
        files = predictor.to_files()
        assert files
        for name, content in files.items():
            assert not content.startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05")), name
            assert content.startswith(b"PK") is (Path(name).suffix == ".npz"), name
            readers[Path(name).suffix](content)

    def test_a_missing_file_is_a_damaged_bundle(self, predictor: Predictor) -> None:
        files = predictor.to_files()
        for name in files:
            with pytest.raises(DamagedBundle):
                load_predictor(self.name, {k: v for k, v in files.items() if k != name})

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99], ids="{:.0%} kept".format)
    def test_a_truncated_file_is_a_damaged_bundle(self, predictor: Predictor, kept: float) -> None:
        files = predictor.to_files()
        for name, content in files.items():
            with pytest.raises(DamagedBundle):
                load_predictor(self.name, {**files, name: content[: int(kept * len(content))]})

    @pytest.mark.parametrize("content", [b"[]", b"null", b"{}", b"\x80\x04N.", b"\xff\xfe"])
    def test_a_foreign_file_is_a_damaged_bundle(self, predictor: Predictor, content: bytes) -> None:
        files = predictor.to_files()
        for name in files:
            with pytest.raises(DamagedBundle):
                load_predictor(self.name, {**files, name: content})

    def test_every_number_of_the_state_is_needed(self, predictor: Predictor) -> None:
        files = predictor.to_files()
        state = json.loads(files["predictor.json"])
        for key in state:
            rest = json.dumps({k: v for k, v in state.items() if k != key}).encode()
            with pytest.raises(DamagedBundle):
                load_predictor(self.name, {**files, "predictor.json": rest})

    def test_is_immutable(self, predictor: Predictor) -> None:
        with pytest.raises(AttributeError):
            predictor.horizon = 99


def _read_onnx(content: bytes) -> None:
    import onnx

    onnx.checker.check_model(onnx.load_from_string(content))


def _read_safetensors(content: bytes) -> None:
    import safetensors.numpy

    assert safetensors.numpy.load(content)


def _read_arrays(content: bytes) -> None:
    """A zip with nothing but arrays of numbers in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        assert members.namelist()
        assert all(name.endswith(".npy") for name in members.namelist())
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        assert all(file[name].dtype == np.float64 for name in file.files)
