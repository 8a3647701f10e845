"""Files of given price paths: what is accepted, what is read, and what each refusal says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from stress.data.given import GivenFile, open_given
from stress.errors import InputError, MissingInputError

ASSETS = ("BTC", "ETH")
PRICE = np.array([60_000.1, 2_500.7])
PATHS, STEPS, STEP_DAYS = 12, 6, 1 / 288
MINUTES = 5 * np.arange(STEPS + 1)


def prices(
    paths: int = PATHS, times: Any = None, assets: tuple[str, ...] = ASSETS, dtype: str = "float64"
) -> xr.DataArray:
    """Return random paths; a third asset starts at 1 dollar."""
    time = np.arange(STEPS + 1) * STEP_DAYS if times is None else times
    start = np.array([dict(zip(ASSETS, PRICE, strict=True)).get(asset, 1.0) for asset in assets])
    rng = np.random.default_rng(5)
    moves = rng.normal(0.0, 0.01, (paths, len(time), len(assets)))
    moves[:, 0] = 0.0
    values = (start * np.exp(moves.cumsum(axis=1))).astype(dtype)
    coords = {"time": time, "asset": list(assets)}
    return xr.DataArray(values, coords, ("path", "time", "asset"), name="price")


def written(folder: Path, data: xr.DataArray | xr.Dataset, **options: Any) -> Path:
    path = folder / "paths.nc"
    data.to_netcdf(path, engine="h5netcdf", **options)
    return path


def opened(path: Path, **changes: Any) -> GivenFile:
    asked: dict[str, Any] = {
        "assets": ASSETS,
        "price": PRICE,
        "steps": STEPS,
        "step_days": STEP_DAYS,
        "paths": PATHS,
    }
    return open_given(path, **{**asked, **changes})


def message(path: Path, **changes: Any) -> str:
    """Return what a file is refused with, on opening or on reading all of it."""
    with pytest.raises(InputError) as caught:
        opened(path, **changes).read(np.arange(PATHS))
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    return text


class TestReading:
    def test_as_stored(self, tmp_path: Path) -> None:
        data = prices()
        found = opened(written(tmp_path, data)).read(np.arange(3, 7, dtype=np.uint32))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, data[3:7])

    def test_zarr(self, tmp_path: Path) -> None:
        data, path = prices(), tmp_path / "paths.zarr"
        data.to_dataset().to_zarr(path, zarr_format=2)
        np.testing.assert_array_equal(opened(path).read(np.array([7, 2])), data[[7, 2]])

    @pytest.mark.parametrize("numbers", [[5], [7, 2, 3, 7], [0, 11], [8, 7, 6]])
    def test_any_numbers_in_any_order(self, tmp_path: Path, numbers: list[int]) -> None:
        data = prices()
        given = opened(written(tmp_path, data))
        for _ in range(2):
            np.testing.assert_array_equal(given.read(np.array(numbers)), data[numbers])

    def test_padding_repeats_the_last_path_that_is_used(self, tmp_path: Path) -> None:
        """Also where the file holds more, so that nobody reads a path that is not asked for."""
        data = prices()
        data[9, 2, 0] = np.nan
        found = opened(written(tmp_path, data), paths=9).read(np.arange(6, 14, dtype=np.uint32))
        np.testing.assert_array_equal(found, data[[6, 7, 8, 8, 8, 8, 8, 8]])

    @pytest.mark.parametrize("assets", [("ETH", "BTC"), ("X", "ETH", "Y", "BTC"), ("BTC", "ETH")])
    @pytest.mark.parametrize("order", [("asset", "time", "path"), ("time", "path", "asset")])
    def test_any_order_of_assets_and_dimensions(
        self, tmp_path: Path, assets: tuple[str, ...], order: tuple[str, ...]
    ) -> None:
        data = prices(assets=assets)
        given = opened(written(tmp_path, data.transpose(*order)))
        found = given.read(np.arange(2, 6))
        np.testing.assert_array_equal(found, data.sel(asset=list(ASSETS))[2:6])

    def test_longer_paths_are_cut(self, tmp_path: Path) -> None:
        data = prices()
        found = opened(written(tmp_path, data), steps=4).read(np.arange(2))
        np.testing.assert_array_equal(found, data[:2, :5])

    @pytest.mark.parametrize("dtype", ["float32", "int64"])
    def test_other_numbers(self, tmp_path: Path, dtype: str) -> None:
        """Single precision rounds the prices at time 0; whole numbers are prices, too."""
        data = prices(dtype=dtype)
        given = opened(written(tmp_path, data), price=PRICE if dtype == "float32" else PRICE // 1)
        np.testing.assert_array_equal(given.read(np.arange(3)), data[:3])

    def test_packed(self, tmp_path: Path) -> None:
        encoding = {"price": {"dtype": "int32", "scale_factor": 1e-3, "_FillValue": -1}}
        data = prices().round(3)
        found = opened(written(tmp_path, data, encoding=encoding)).read(np.arange(3))
        np.testing.assert_allclose(found, data[:3], rtol=1e-12)

    def test_labels_of_bytes(self, tmp_path: Path) -> None:
        data = prices().assign_coords(asset=np.array(ASSETS, "S"))
        found = opened(written(tmp_path, data)).read(np.arange(3))
        np.testing.assert_array_equal(found, data[:3])

    def test_only_what_is_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither opening nor reading a block ever takes more than that block from the file."""
        path = written(tmp_path, prices(assets=("X", *ASSETS)).transpose("asset", "time", "path"))
        taken: list[int] = []
        take = h5py.Dataset.__getitem__

        def counted(self: h5py.Dataset, *key: Any, **options: Any) -> Any:
            values = take(self, *key, **options)
            if self.name == "/price":
                taken.append(np.size(values))
            return values

        monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
        given = opened(path)
        assert sum(taken) == len(ASSETS)
        taken.clear()
        given.read(np.arange(4, 7))
        assert sum(taken) == 3 * (STEPS + 1) * len(ASSETS)


class TestClosing:
    """What is no longer in use, or was refused, can be written again."""

    def test_after_use(self, tmp_path: Path) -> None:
        opened(written(tmp_path, prices())).read(np.arange(3))
        given = opened(written(tmp_path, prices()))
        assert given.read(np.arange(3)).shape == (3, STEPS + 1, 2)
        del given
        written(tmp_path, prices())

    def test_after_a_refusal(self, tmp_path: Path) -> None:
        path = written(tmp_path, prices(paths=5))
        with pytest.raises(InputError) as caught:
            opened(path)
        written(tmp_path, prices())
        assert "the file holds 5" in str(caught.value)


TIMES: dict[str, tuple[Any, str | None]] = {
    "days": (MINUTES / 1440, None),
    "days-said": (MINUTES / 1440, "days"),
    "days-float32": ((30 + MINUTES / 1440).astype(np.float32), "d"),
    "hours": (MINUTES / 60, "hours"),
    "an-hour": (7.0 + MINUTES / 60, "hour"),
    "minutes": (MINUTES, "minutes"),
    "seconds": (60 * MINUTES, "seconds"),
    "s": (60.0 * MINUTES, "s"),
    "unsigned": (60 * MINUTES.astype(np.uint16), "s"),
    "dates-by-hand": (MINUTES, "minutes since 2020-01-01"),
    "dates": (np.datetime64("2026-11-20", "ns") + MINUTES.astype("timedelta64[m]"), None),
    "durations": (MINUTES.astype("timedelta64[m]").astype("timedelta64[ns]"), None),
}


class TestTimes:
    @pytest.mark.parametrize("name", TIMES)
    def test_accepted(self, tmp_path: Path, name: str) -> None:
        times, units = TIMES[name]
        data = prices(times=times)
        if units is not None:
            data["time"].attrs["units"] = units
        assert opened(written(tmp_path, data)).read(np.arange(2)).shape == (2, STEPS + 1, 2)

    @pytest.mark.parametrize(
        ("times", "units", "said"),
        [
            (MINUTES, None, "number 1 is 5 d after the first, not 5 min"),
            (MINUTES / 1440, "hours", "number 1 is 12.5 s after the first, not 5 min"),
            (MINUTES[::-1], "minutes", "number 1 is -5 min after the first, not 5 min"),
            ([0, 5, 10, 16, 20, 25, 30], "minutes", "number 3 is 16 min after the first, not 15"),
            ([0, 5, 10, np.nan, 20, 25, 30], "minutes", "number 3 is nan"),
            ([0, 5, 10], "minutes", "needs 7 times, the first being time 0, and the file holds 3"),
            (MINUTES, "fortnights", 'unknown units "fortnights"'),
            (list("abcdefg"), None, "must hold numbers"),
        ],
    )
    def test_refused(self, tmp_path: Path, times: Any, units: str | None, said: str) -> None:
        data = prices(times=np.array(times))
        if units is not None:
            data["time"].attrs["units"] = units
        text = message(written(tmp_path, data))
        assert said in text
        assert "coordinate time" in text

    def test_without_times(self, tmp_path: Path) -> None:
        text = message(written(tmp_path, prices().drop_vars("time")))
        assert "the times have no values; give them in days" in text

    def test_another_step_in_the_end(self, tmp_path: Path) -> None:
        """A step that is off by less than the rounding of one time is seen over many."""
        times = np.arange(401) * STEP_DAYS * 1.000_009_95
        path = written(tmp_path, prices(times=times))
        assert "h after the first, not 8.41666667 h" in message(path, steps=400)
        assert opened(path, steps=90).paths == PATHS


class TestRefusals:
    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(MissingInputError, match="does not exist"):
            opened(tmp_path / "paths.nc")

    @pytest.mark.parametrize("content", [b"", b"account,cash\nx,1\n", b"\x89HDF\r\n\x1a\n" * 9])
    def test_not_netcdf(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "paths.nc"
        path.write_bytes(content)
        text = message(path)
        assert "market.file: cannot be read as netCDF 4" in text
        assert "to_netcdf" in text

    def test_cut_off(self, tmp_path: Path) -> None:
        path = written(tmp_path, prices(paths=200))
        path.write_bytes(path.read_bytes()[:-5_000])
        assert "cannot be read" in message(path)

    def test_zarr_without_zarr(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "zarr", None)
        text = message(tmp_path)
        assert "a Zarr directory needs the package zarr, which is not installed" in text
        assert 'pip install "margin-stress[zarr]"' in text

    def test_no_prices(self, tmp_path: Path) -> None:
        assert "it has open, close" in message(
            written(tmp_path, xr.Dataset({"open": prices(), "close": prices()}))
        )
        assert "it has none" in message(written(tmp_path, xr.Dataset()))

    def test_dimensions(self, tmp_path: Path) -> None:
        text = message(written(tmp_path, prices().rename(path="scenario")))
        assert "must be path, time and asset, got scenario, time, asset; rename" in text
        assert "got time, asset" in message(written(tmp_path, prices()[0]))

    def test_text(self, tmp_path: Path) -> None:
        assert "must hold numbers" in message(written(tmp_path, prices().astype(str)))

    def test_assets(self, tmp_path: Path) -> None:
        text = message(written(tmp_path, prices().drop_vars("asset")))
        assert "the assets have no labels; give it, in the order of the file, as BTC, ETH" in text
        text = message(written(tmp_path, prices(assets=("btc", "ETH"))))
        assert 'asset "BTC" is missing; did you mean "btc"?' in text
        text = message(written(tmp_path, prices(assets=("BTC", "ETH", "BTC"))))
        assert 'asset "BTC" is there twice' in text

    def test_too_few_paths(self, tmp_path: Path) -> None:
        text = message(written(tmp_path, prices(paths=5)))
        assert "simulation.paths is 12, the file holds 5; run with --paths 5, or give more" in text
        text = message(written(tmp_path, prices(paths=0)))
        assert "the file holds 0; give more paths" in text

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -3.5])
    def test_a_price(self, tmp_path: Path, wrong: float) -> None:
        """Found when its block is read: path, step and asset are named."""
        data = prices(assets=("ETH", "BTC"))
        data[7, 4, 0] = wrong
        given = opened(written(tmp_path, data))
        assert given.read(np.arange(7)).shape == (7, STEPS + 1, 2)
        with pytest.raises(InputError) as caught:
            given.read(np.array([9, 7, 8]))
        assert caught.value.rule == (
            f"the price of ETH on path 7 at step 4 must be positive and finite, got {wrong:g}"
        )

    def test_another_start(self, tmp_path: Path) -> None:
        """On the first path it is found at once, on another when that is read."""
        path = written(tmp_path, prices())
        with pytest.raises(InputError) as caught:
            opened(path, price=PRICE * [1.0, 1.1])
        assert caught.value.rule == "ETH starts at 2500.7 on path 0, in the scenario at 2750.77"
        assert "market.price.ETH" in str(caught.value)
        data = prices()
        data[8] *= 1.001
        assert "BTC starts at 60060.1001 on path 8" in message(written(tmp_path, data))
