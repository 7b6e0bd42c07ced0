"""The last training: on training and validation rows together, once these have settled the rest.

Validation rows choose rounds, calibration, threshold and intervals on a model that did not see
them. Then they teach, too: they are the newest rows of a split in time, and a fifth more of any
small table. The model that is handed on has seen all rows but those of the test split, which alone
say how good it is.
"""

from functools import partial

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.parameters import LARGE, Settings, few_threads
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.weights import row_weights
from shipway.components.train.matrices import matrices, rows_for_cuts, stands_on_disk
from shipway.components.train.merging import merged


def worth_it(plan: FeaturePlan, rows: int, settings: Settings, quality: str, in_time: bool) -> bool:
    """Whether validation rows would teach what so many training rows do not.

    Of a large table that is not split in time they are more of the same, and a second training
    would cost as much as the first. Intervals hold what they promise of the model that did not see
    the rows that widened them. A ranking has its own matrices, and is not trained again.
    """
    if quality == "fast" or plan.target.ranked or settings.response.coverage:
        return False
    return in_time or rows < LARGE


def refit(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
    rounds: int,
    members: int = 1,
) -> xgb.Booster:
    """Train on all rows, for as many rounds as the validation rows chose.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        matrix: the model's rows of validation, float32 of shape (n, k).
        settings: parameters.
        rounds: of each booster.
        members: boosters, which differ by what they draw; they are merged into one.
    """
    tables = rows, held_out
    labels = [plan.target.encode(table.column(plan.label)) for table in tables]
    shares = [
        share
        for table, y in zip(tables, labels, strict=True)
        if (share := row_weights(plan, table, y, settings.balance)) is not None
    ]
    weights = np.concatenate(shares) if shares else None
    names, bins = safe_names(plan), settings.booster["max_bin"]
    total = rows.num_rows + held_out.num_rows
    on_disk = stands_on_disk(settings.external, (total, len(names)))
    with matrices(names, bins, on_disk) as make:
        known = make.training(
            partial(_fill, plan, rows, matrix), np.concatenate(labels), weights,
            rows_for_cuts(total),
        )  # fmt: skip
        seeds = range(settings.booster["seed"], settings.booster["seed"] + members)
        asked = few_threads(total) | settings.booster
        boosters = [xgb.train(asked | {"seed": s}, known, rounds) for s in seeds]
        del known  # before the files that it stands in
    booster = make.finished(merged(boosters) if members > 1 else boosters[0])
    booster.set_param({"device": "cpu"})  # golden rows and serving score there
    return booster


def _fill(plan: FeaturePlan, rows: StoredTable, matrix: np.ndarray, out: np.ndarray) -> np.ndarray:
    plan.transform_training(rows, out[: rows.num_rows])
    out[rows.num_rows :] = matrix
    return out
