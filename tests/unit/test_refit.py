"""The last training, on validation rows too: when it is made, and what it leaves as it was."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.features.logic import fit
from shipway.components.lib.errors import DataError
from shipway.components.lib.metrics import compute_metrics
from shipway.components.lib.model_package import ModelPackage, check_golden, load_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.tables import read_table, write_table
from shipway.components.train import logic, refit
from shipway.components.train.logic import train
from shipway.components.train.request import Request

QUICK = {"num_boost_round": 40.0, "early_stopping_rounds": 5.0, "eta": 0.3, "nthread": 1.0}


def rows(count: int, seed: int, turned: bool = False) -> pa.Table:
    """A label that hangs on `x`, or where it has turned on `z`."""
    draw = np.random.default_rng(seed)
    x, z, noise = draw.normal(size=(3, count))
    when, score = np.arange(count) + 10_000 * seed, (z if turned else x) + 0.5 * noise
    label = np.where(score > 0, "yes", "no")
    columns = {"x": x, "z": z, "when": when, "label": label}
    return pa.table(columns | {"value": score + 10})


def place(folder: Path, label: str = "label", turned: bool = False) -> Path:
    parts = {"train": (900, 0, False), "validation": (300, 1, turned), "test": (600, 2, turned)}
    other = {"label": "value", "value": "label"}[label]
    for name, (count, seed, turns) in parts.items():
        write_table(rows(count, seed, turns).drop_columns([other]), folder / name)
    fit(folder / "train", label, folder / "plan", folder / "page", time_column="when")
    return folder


def trained(folder: Path, name: str, **more: object) -> tuple[ModelPackage, dict[str, float]]:
    parts = (folder / part for part in ("train", "validation", "plan", name, "page"))
    found = train(*parts, Request("m", QUICK, **more))  # type: ignore[arg-type]
    return load_package(folder / name), found.metrics


@pytest.mark.parametrize(
    ("label", "quality"), [("label", "standard"), ("value", "standard"), ("label", "best")]
)
def test_validation_rows_settle_first_and_teach_then(
    tmp_path: Path, label: str, quality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, label)
    last, metrics = trained(tmp_path, "last", quality=quality)
    again, _ = trained(tmp_path, "again", quality=quality)
    assert last.manifest["files"]["model.ubj"] == again.manifest["files"]["model.ubj"]
    assert check_golden(last) <= 1e-6
    monkeypatch.setattr(logic, "worth_it", lambda *_: False)
    first, before = trained(tmp_path, "first", quality=quality)
    assert (metrics["refit_rows"], before["refit_rows"]) == (1_200, 0)
    # What validation rows say and settle is of the model that did not see them.
    assert last.signature == first.signature
    assert last.manifest["validation_metrics"] == first.manifest["validation_metrics"]
    if quality == "standard":
        assert last.booster.num_boosted_rounds() == first.booster.num_boosted_rounds()
    assert last.booster.save_raw() != first.booster.save_raw()
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert "training and validation rows together" not in page  # of the one that was not


def test_what_turned_of_late_is_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, turned=True)

    def auc(name: str) -> float:
        package, _ = trained(tmp_path, name, time_column="when")
        test = read_table(tmp_path / "test")
        target = package.signature.target
        y = target.encode(test.column("label"))
        answers = Scorer(package.booster, package.signature).score_table(test)
        return compute_metrics(target, y, answers)["auc"]

    last = auc("last")
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert "training and validation rows together, 1,200" in page
    monkeypatch.setattr(logic, "worth_it", lambda *_: False)
    assert last > auc("first") + 0.05


@pytest.mark.parametrize("dated", [True, False])
def test_the_level_of_the_newest_rows_is_counted_once(tmp_path: Path, dated: bool) -> None:
    # Whether the features tell when the level fell, or not.
    start = 0
    for name, count, level in (
        ("train", 4_000, 0.5),
        ("validation", 1_200, -1),
        ("test", 3_000, -1),
    ):
        draw = np.random.default_rng(start)
        x, when = draw.normal(size=count), np.arange(start, start + count)
        label = np.where(draw.random(count) < 1 / (1 + np.exp(-x - level)), "yes", "no")
        seen = when.astype(float) if dated else draw.random(count)
        write_table(pa.table({"x": x, "seen": seen, "when": when, "label": label}), tmp_path / name)
        start += count
    fit(tmp_path / "train", "label", tmp_path / "plan", tmp_path / "page", time_column="when")
    package, _ = trained(tmp_path, "model", time_column="when")
    test = read_table(tmp_path / "test")
    said = Scorer(package.booster, package.signature).score_table(test).probabilities
    assert said is not None
    share = (test.column("label").to_numpy() == "yes").mean()
    assert said[:, 1].mean() == pytest.approx(share, abs=0.03)
    assert "times the log-odds" in (tmp_path / "page").read_text(encoding="utf-8")
    assert check_golden(package) <= 1e-6


def test_a_large_table_is_trained_again_only_where_it_is_split_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path)
    monkeypatch.setattr(refit, "LARGE", 900)
    assert trained(tmp_path, "by chance")[1]["refit_rows"] == 0
    assert trained(tmp_path, "in time", time_column="when")[1]["refit_rows"] == 1_200


def test_a_time_column_that_is_not_there_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path)
    monkeypatch.setattr(refit, "LARGE", 900)
    monkeypatch.setattr(logic, "_boosted", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(DataError, match="no column 'whn'.*Did you mean 'when'"):
        trained(tmp_path, "model", time_column="whn")


@pytest.mark.parametrize(
    ("label", "more"),
    [("label", {"quality": "fast"}), ("value", {"objective": "quantile"})],
)
def test_there_is_no_second_training(tmp_path: Path, label: str, more: dict[str, str]) -> None:
    assert trained(place(tmp_path, label), "model", **more)[1]["refit_rows"] == 0
