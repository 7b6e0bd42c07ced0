"""How validation reads a table before TFDV sees it: samples, casts, numbers in text."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.tables import write_table
from shipway.components.validate.casting import cast_column, plan_casts
from shipway.components.validate.chunks import plan_chunks, read_chunks
from shipway.components.validate.logic import Outputs, Settings, validate
from shipway.components.validate.profile import TextNumbers
from shipway.components.validate.rules import label_rules
from tests.unit.validating import odd_table


def test_a_sample_is_spread_over_the_table_and_always_the_same(tmp_path):
    table = pa.table({"row": range(200_000)})
    write_table(table, tmp_path / "table")
    chunks = plan_chunks(tmp_path / "table", 1_001)
    rows = np.concatenate([batch.column(0) for _, batch in read_chunks(tmp_path / "table", chunks)])
    assert len(chunks) == 4 and len(rows) == len(set(rows)) == 1_001
    numbers = np.concatenate([chunk.row_numbers() for chunk in chunks])
    assert (numbers == rows + 1).all()
    assert abs(rows.mean() - 100_000) < 6_000
    again = plan_chunks(tmp_path / "table", 1_001)
    assert (np.concatenate([chunk.row_numbers() for chunk in again]) == numbers).all()
    assert [c.taken for c in plan_chunks(tmp_path / "table", 10**9)] == [c.rows for c in chunks]


def test_a_missing_dataset_is_refused(tmp_path):
    out = tmp_path / "out"
    outputs = Outputs(out / "s", out / "c", out / "d", out / "r")
    with pytest.raises(DataError, match="no table at"):
        validate(tmp_path / "nowhere", "label", outputs, Settings())
    assert not out.exists()


@pytest.mark.parametrize(
    ("task", "said"), [("auto", "a multiclass target with 4 classes"), ("ranking", "a ranking")]
)
def test_a_label_is_judged_for_the_task_that_was_asked_for(task, said, tmp_path):
    write_table(pa.table({"grade": [0, 1, 2, 3] * 2}), tmp_path / "table")
    rules = {rule.name: rule for rule in label_rules(tmp_path / "table", "grade", task)}
    assert said in rules["label.learnable"].sentence
    assert ("label.class_rows" in rules) == (task == "auto")  # grades are not classes
    with pytest.raises(ConfigurationError, match="two values"):
        label_rules(tmp_path / "table", "grade", "binary")


def test_casts_keep_values_and_only_tell_about_changes():
    table = odd_table()
    casts = {cast.name: cast for cast in plan_casts(table.schema)}
    assert not casts["fare"].note and not casts["wide_text"].note and not casts["coded"].note
    assert casts["nested"].target is None
    coded, _ = cast_column(table["coded"].chunk(0), casts["coded"])
    assert coded.to_pylist() == table["coded"].to_pylist()
    ratio, infinite = cast_column(table["ratio"].chunk(0), casts["ratio"])
    assert (ratio.null_count, infinite) == (100, 50)


def test_times_before_1970_and_every_unit_become_seconds():
    early = datetime.datetime(1960, 1, 1, 12)
    for unit in ("s", "ms", "us", "ns"):
        column = pa.array([early, None], pa.timestamp(unit))
        (cast,) = plan_casts(pa.schema([("t", column.type)]))
        seconds = cast_column(column, cast)[0].to_pylist()
        assert seconds == [(early - datetime.datetime(1970, 1, 1)).total_seconds(), None]


def test_texts_that_are_numbers_are_counted_across_batches():
    seen = TextNumbers()
    seen.add(pa.array(["1", "-2.5", " 3e4 ", None]), np.arange(1, 5))
    assert (seen.numbers, seen.others, seen.first_row) == (3, 0, 0)
    later = TextNumbers()
    later.add(pa.array([".5", "n/a", "7."]), np.arange(5, 8))
    seen.merge(later)
    assert (seen.numbers, seen.others) == (5, 1)
    assert (seen.first_row, seen.first_value) == (6, "n/a")
    words = TextNumbers()
    words.add(pa.array(["a", "b", "1"]), np.arange(3))
    assert words.given_up
