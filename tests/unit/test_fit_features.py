import html
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.private import PRIVATE, mark_private
from shipway.components.lib.tables import read_table, write_table


@pytest.fixture
def train(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    columns = {
        "x": draw.normal(size=300),
        "city": draw.choice(["Zürich", "<b>Bern</b>"], 300),
        "always": [1] * 300,
        "person": draw.integers(0, 30, 300),
        "label": draw.choice(["no", "yes"], 300),
    }
    write_table(pa.table(columns), tmp_path / "train")
    return tmp_path / "train"


def test_the_plan_that_is_written_is_the_plan_that_is_returned(train: Path, tmp_path: Path) -> None:
    plan = fit(train, "label", tmp_path / "plan", tmp_path / "page", group_column="person")
    read = FeaturePlan.from_json(json.loads((tmp_path / "plan").read_text(encoding="utf-8")))
    assert read == plan
    assert (read.group_column, read.feature_names) == ("person", ["x", "city"])
    rows = read_table(train)
    assert read.transform(rows).tobytes() == plan.transform(rows).tobytes()


def test_the_same_rows_give_the_same_bytes(train: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fit(train, "label", tmp_path / name, tmp_path / "page")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_page_tells_what_is_used_and_what_is_not(train: Path, tmp_path: Path) -> None:
    fit(train, "label", tmp_path / "plan", tmp_path / "page")
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    assert "it has one value only" in page
    assert "binary (no, yes)" in page
    assert "Zürich" in html.unescape(page)
    assert "<b>Bern" not in page


def test_the_page_shows_no_value_of_a_private_column(train: Path, tmp_path: Path) -> None:
    table = read_table(train)
    place = table.schema.get_field_index("city")
    hidden = table.schema.set(place, mark_private(table.schema.field("city")))
    write_table(table.cast(hidden), tmp_path / "hidden")
    fit(tmp_path / "hidden", "label", tmp_path / "plan", tmp_path / "page")
    page = html.unescape((tmp_path / "page").read_text(encoding="utf-8"))
    assert "Zürich" not in page and PRIVATE in page


@pytest.mark.parametrize(
    ("label", "options"),
    [("lable", {}), ("label", {"time_column": "lable"}), ("label", {"group_column": "lable"})],
)
def test_an_unknown_column_is_named_with_the_nearest(
    train: Path, tmp_path: Path, label: str, options: dict[str, str]
) -> None:
    with pytest.raises(DataError, match=r"'lable'.*'label'"):
        fit(train, label, tmp_path / "plan", tmp_path / "page", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_task_that_does_not_fit_is_refused(train: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="regression"):
        fit(train, "label", tmp_path / "plan", tmp_path / "page", "regression")
    assert not (tmp_path / "plan").exists()
