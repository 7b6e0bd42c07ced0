"""Interactions and selected columns: what is needed is found, and noise is not."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.features.interactions import find_interactions
from shipway.components.features.logic import fit
from shipway.components.features.selection import select
from shipway.components.lib.constraints import Constraints
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.tables import write_table

# The full form of the simulations takes minutes; SHIPWAY_SIMULATIONS=20 asks for so many seeds.
SEEDS = range(int(os.environ.get("SHIPWAY_SIMULATIONS", "1")))
FREE = Constraints()


def numbers(kind: str, rows: int, width: int, seed: int) -> pa.Table:
    """Numbers, and a label that hangs on some of them or on none."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, width))
    noise = draw.normal(size=rows)
    label = noise
    if kind == "product":
        label = x[:, 0] * x[:, 1] + 0.3 * noise
    if kind == "five":
        label = x[:, 0] + 0.7 * x[:, 1] ** 2 + x[:, 2] * x[:, 3] + np.abs(x[:, 4]) + x[:, 3] + noise
    return pa.table({f"x{place}": x[:, place] for place in range(width)} | {"label": label})


def stored(folder: Path, kind: str, width: int, seed: int) -> tuple[StoredTable, StoredTable]:
    for number, (name, rows) in enumerate({"train": 1500, "validation": 800}.items()):
        write_table(numbers(kind, rows, width, 1000 * number + seed), folder / name)
    return StoredTable(folder / "train"), StoredTable(folder / "validation")


def planned(folder: Path, seed: int) -> FeaturePlan:
    return fit(folder / "train", "label", folder / "plan", folder / "page", seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_taken_for_no_interaction(tmp_path: Path, seed: int) -> None:
    tables = stored(tmp_path, "noise", 5, seed)
    assert find_interactions(planned(tmp_path, seed), *tables, FREE) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_product_that_decides_is_found(tmp_path: Path, seed: int) -> None:
    tables = stored(tmp_path, "product", 5, seed)
    found = find_interactions(planned(tmp_path, seed), *tables, FREE)
    assert found[0].name == "x0 * x1"
    assert "standard errors" in found[0].reason


@pytest.mark.parametrize("seed", SEEDS)
def test_only_columns_that_tell_more_than_noise_are_selected(tmp_path: Path, seed: int) -> None:
    tables = stored(tmp_path, "five", 45, seed)
    plan = select(planned(tmp_path, seed), *tables)
    assert [column.name for column in plan.columns] == ["x0", "x1", "x2", "x3", "x4"]
    assert len(plan.dropped) == 40
    assert "than shuffled columns" in plan.dropped[0].reason


def test_one_column_stays_where_all_are_noise(tmp_path: Path) -> None:
    tables = stored(tmp_path, "noise", 3, 0)
    assert len(select(planned(tmp_path, 0), *tables).columns) == 1


@pytest.mark.parametrize("limits", [Constraints({"x0": 1}), Constraints({}, [["x0", "x1"]])])
def test_no_interaction_goes_round_a_constraint(tmp_path: Path, limits: Constraints) -> None:
    tables = stored(tmp_path, "product", 2, 0)
    assert find_interactions(planned(tmp_path, 0), *tables, limits) == []


def test_the_plan_and_its_page_tell_of_both(tmp_path: Path) -> None:
    stored(tmp_path, "product", 4, 0)
    files = tmp_path / "plan", tmp_path / "page"
    options = {"validation": tmp_path / "validation", "feature_selection": "shadow"}
    plan = fit(tmp_path / "train", "label", *files, **options)  # type: ignore[arg-type]
    assert FeaturePlan.read(files[0]) == plan
    assert plan.feature_names == ["x0", "x1", "x0 * x1"]
    page = files[1].read_text(encoding="utf-8")
    assert "x0 * x1" in page
    assert "rounds it told more" in page


def test_an_unknown_selection_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, "noise", 2, 0)
    with pytest.raises(ConfigurationError, match=r"feature_selection='shadows'.*'shadow'"):
        fit(
            tmp_path / "train", "label", tmp_path / "plan", tmp_path / "page",
            validation=tmp_path / "validation", feature_selection="shadows",
        )  # fmt: skip
