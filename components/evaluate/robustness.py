"""How a model bears what goes wrong: lost columns, other units, misspelt values, noise.

Each disturbance is made in the raw column, goes through the model's own plan, and is told as the
change of the main metric on a sample of the test rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.columns import encode_column
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.features import to_float32
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.kinds import is_text
from shipway.components.lib.metrics import HIGHER_IS_BETTER, MAIN_METRIC, compute_metrics
from shipway.components.lib.queries import whole_queries
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.tables import read_table

ROWS = 1_000
MAX_COLUMNS = 40
UNIT = 1_000.0
NOISE = 0.1
LOST = 0.1


def robustness(scorer: Scorer, test: Path, held: HeldOut, seed: int = 0) -> dict[str, Any]:
    """Measure the main metric under disturbances.

    Returns:
        A JSON object: rows, metric, value (undisturbed), disturbances (column, kind, value and
        drop: how much worse the metric is; the worst first). Empty where it is undefined.
    """
    draw = np.random.default_rng(seed)
    rows = whole_queries(held.y, ROWS, draw)
    table = read_table(test).take(pa.array(rows))
    target, y, plan = held.target, held.y[rows], scorer.plan
    main = MAIN_METRIC[target.task]
    before = compute_metrics(target, y, rows_of(held.prediction, rows)).get(main)
    if before is None:
        return {}
    sign = 1 if HIGHER_IS_BETTER[main] else -1
    matrix = plan.transform(table)
    found: list[dict[str, Any]] = []

    def note(column: str, kind: str, changed: np.ndarray) -> None:
        scored = scorer.score_matrix(plan.refreshed(changed))
        after = compute_metrics(target, y, scored).get(main)
        if after is not None:
            drop = sign * (before - after)
            found.append({"column": column, "kind": kind, "value": after, "drop": drop})

    start = 0
    for column in plan.columns[:MAX_COLUMNS]:
        block = slice(start, start + len(column.outputs))
        start = block.stop
        for kind, values in _disturbed(column, table.column(column.name), matrix[:, block]):
            changed = matrix.copy()
            changed[:, block] = values
            note(column.name, kind, changed)
    note("(all numbers)", "noise of a tenth of their spread", _noisy(matrix, draw))
    note(
        "(all columns)",
        "a tenth of the cells missing",
        np.where(draw.random(matrix.shape) < LOST, np.nan, matrix),
    )
    found.sort(key=lambda one: -one["drop"])
    return {"rows": len(rows), "metric": main, "value": before, "disturbances": found}


def _disturbed(
    column: ColumnPlan, values: pa.ChunkedArray, block: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """The features of a column that is lost, in another unit, or misspelt."""
    cases = [("missing", np.full_like(block, np.nan))]
    if column.kind in ("number", "text_number"):
        cases.append(
            ("1,000 times as large (another unit)", to_float32(block.astype(np.float64) * UNIT))
        )
    elif column.kind.startswith("category") and is_text(values.type):
        typos = pc.binary_join_element_wise(values, pa.scalar("~", values.type), "")
        cases.append(("misspelt", to_float32(encode_column(column, typos))))
    return cases


def _noisy(matrix: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A tenth of each feature's spread as noise; codes and counts are left as they are."""
    spread = np.nan_to_num(np.nanstd(matrix.astype(np.float64), axis=0))
    whole = np.array([_is_whole(matrix[:, index]) for index in range(matrix.shape[1])])
    noise = draw.normal(size=matrix.shape) * np.where(whole, 0.0, NOISE * spread)
    return to_float32(matrix + noise)


def _is_whole(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return not len(known) or bool(np.all(known == np.round(known)) and len(np.unique(known)) <= 32)
