import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from shipway.components.lib import stored_table, tables
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task
from shipway.components.lib.memory import memory_limit
from shipway.components.lib.stored_table import StoredTable
from shipway.components.train.matrices import matrices

ROWS = 3_000


def shops() -> pa.Table:
    draw = np.random.default_rng(0)
    shop = draw.integers(0, 90, ROWS)
    score = draw.normal(size=ROWS) + shop / 60
    return pa.table(
        {
            "shop": [f"shop {i}" if i % 7 else None for i in shop],
            "x": score + draw.normal(size=ROWS),
            "day": pa.array(np.datetime64("2024-01-01") + shop),
            "label": np.where(score > 0.7, "yes", "no"),
        }
    )


@pytest.fixture
def stored(tmp_path, monkeypatch) -> StoredTable:
    """The table in parts of 700 rows, read in blocks of about 500."""
    monkeypatch.setattr(stored_table, "BLOCK_CELLS", 1_500)
    folder = tmp_path / "table"
    folder.mkdir()
    for start in range(0, ROWS, 700):
        part = folder / f"part-{start // 700:05d}.parquet"
        pq.write_table(shops().slice(start, 700), part, row_group_size=100)
    return StoredTable(folder)


def test_a_table_on_disk_gives_the_plan_and_the_bits_of_one_in_memory(stored) -> None:
    whole = shops()
    target = infer_task(whole["label"])
    plan = fit_plan(stored, "label", target)
    assert plan == fit_plan(whole, "label", target)
    assert len(list(stored.blocks(["x", "shop", "day"]))) > 3
    for make in (plan.transform, plan.transform_training):
        assert make(stored).tobytes() == make(whole).tobytes()
    room = np.empty((ROWS, len(plan.feature_names)), dtype=np.float32)
    assert plan.transform_training(stored, room) is room
    assert stored.take([0, 699, 700, 2_999], ["x", "shop"]).equals(
        whole.select(["x", "shop"]).take([0, 699, 700, 2_999])
    )


def test_statistics_of_a_number_have_the_same_bits_in_pieces(tmp_path, monkeypatch) -> None:
    table = shops().select(["shop", "x"])
    plan = fit_plan(table, "x", infer_task(table["x"]))
    assert [column.kind for column in plan.columns] == ["category_many"]
    tables.write_table(table, tmp_path / "table")
    monkeypatch.setattr(stored_table, "BLOCK_CELLS", 130)
    pieces = plan.transform_training(StoredTable(tmp_path / "table"))
    assert pieces.tobytes() == plan.transform_training(table).tobytes()


@pytest.mark.parametrize("footers_tell", [False, True])
def test_missing_cells_are_counted(tmp_path, footers_tell) -> None:
    for part in (0, 1):
        path = tmp_path / f"part-{part}.parquet"
        pq.write_table(shops()[part * 900 :], path, 400, write_statistics=footers_tell)
    stored = StoredTable(tmp_path)
    for name in stored.column_names:
        assert stored.null_count(name) == stored.column(name).null_count
    assert stored.null_count("shop") > 500


def test_neighbouring_columns_are_read_at_once(tmp_path, monkeypatch) -> None:
    reads = []
    read = stored_table.read_batches
    monkeypatch.setattr(stored_table, "read_batches", lambda *a: reads.append(a) or read(*a))
    tables.write_table(pa.table({f"c{i}": [1.0, 2.0] for i in range(50)}), tmp_path / "wide")
    wide = StoredTable(tmp_path / "wide")
    assert all(wide.column(name).to_pylist() == [1.0, 2.0] for name in wide.column_names)
    assert len(reads) == 1


def test_statistics_alone_are_whole_on_disk_too(stored, tmp_path) -> None:
    whole = shops().select(["shop", "label"])
    tables.write_table(whole, tmp_path / "narrow")
    plan = fit_plan(whole, "label", infer_task(whole["label"]))
    assert [column.kind for column in plan.columns] == ["category_many"]
    narrow = StoredTable(tmp_path / "narrow")
    assert plan.transform_training(narrow).tobytes() == plan.transform_training(whole).tobytes()


def test_rows_on_disk_train_as_well_as_rows_in_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    draw = np.random.default_rng(1)
    features = draw.normal(size=(5_000, 4)).astype(np.float32)
    y = (features[:, 0] + features[:, 1] ** 2 > 0.8).astype(np.int32)
    weights = draw.uniform(0.5, 2, 5_000)

    def fill(out: np.ndarray) -> np.ndarray:
        out[:] = features
        return out

    losses = {}
    for external in (False, True):
        names = [f"f{index}" for index in range(4)]
        with matrices(names, 64, external, 900) as make:
            matrix = make.training(fill, y, weights)
            held_out = make.held_out(features[::2], y[::2], weights[::2], matrix)
            for made in (matrix, held_out):
                assert isinstance(made, xgb.ExtMemQuantileDMatrix) == external
            assert any(tmp_path.iterdir()) == external
            history: dict = {}
            parameters = {"objective": "binary:logistic", "max_bin": 64, "nthread": 1}
            pairs = [(matrix, "t"), (held_out, "v")]
            xgb.train(parameters, matrix, 20, pairs, evals_result=history, verbose_eval=False)
            del matrix, held_out, made, pairs
        assert history["v"]["logloss"][-1] == pytest.approx(history["t"]["logloss"][-1], rel=0.1)
        losses[external] = history["t"]["logloss"][-1]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("external", [False, True])
def test_cuts_of_a_sample_are_as_good_as_those_of_all_rows(external) -> None:
    draw = np.random.default_rng(2)
    features = draw.lognormal(size=(20_000, 3)).astype(np.float32)
    features[::7, 0] = np.nan
    y = (features[:, 1] * features[:, 2] > draw.lognormal(size=20_000)).astype(np.int32)
    losses = []
    for cut_rows in (None, 5_000):
        with matrices(["a", "b", "c"], 64, external, 7_000) as make:
            matrix = make.training(lambda out: features, y, None, cut_rows)
            history: dict = {}
            parameters = {"objective": "binary:logistic", "max_bin": 64, "nthread": 1}
            pairs = [(matrix, "t")]
            xgb.train(parameters, matrix, 20, pairs, evals_result=history, verbose_eval=False)
            del matrix, pairs
        losses.append(history["t"]["logloss"][-1])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.03)


def test_the_memory_limit_is_the_least_of_those_that_hold(tmp_path) -> None:
    mine, none, absent = (tmp_path / name for name in ("limit", "none", "absent"))
    mine.write_text("1000000\n")
    none.write_text("max\n")
    assert memory_limit((absent, none, mine)) == 1_000_000
    assert memory_limit((absent, none)) > 100_000_000


@pytest.mark.parametrize("part", [slice(0, 1_000), slice(650, 1_450), slice(2_999, 3_000)])
def test_some_rows_have_the_bits_that_they_have_among_all(stored, part) -> None:
    whole = shops()
    plan = fit_plan(stored, "label", infer_task(whole["label"]))
    features = plan.transform_training(whole)
    for table in (stored, whole):
        assert plan.transform_training(table, part=part).tobytes() == features[part].tobytes()
    assert sum(block.num_rows for block in stored.blocks(["x"], part)) == part.stop - part.start


@pytest.mark.parametrize("group", [70, 100, 350])  # rows; batches have 100
@pytest.mark.parametrize("part", [slice(0, 40), slice(260, 640), slice(690, 1_410)])
def test_a_part_is_the_same_rows_whatever_the_row_groups(tmp_path, monkeypatch, group, part):
    monkeypatch.setattr(stored_table, "ROW_GROUP", 100)
    for start in range(0, ROWS, 700):
        path = tmp_path / f"part-{start // 700:05d}.parquet"
        pq.write_table(shops().slice(start, 700), path, row_group_size=group)
    found = pa.concat_tables(StoredTable(tmp_path).blocks(["x", "shop"], part))
    assert found.equals(shops().select(["x", "shop"])[part])
