"""Boosting of a ranking: matrices that know which rows are of one query."""

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.parameters import Settings
from shipway.components.lib.queries import by_query, labels_of, told
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.weights import row_weights
from shipway.components.train.boosting import learn
from shipway.components.train.checkpoint import Checkpoints

NO_CALIBRATION = (
    "not applicable: a score tells the order of the rows of one query; it is no probability, and "
    "nothing is cut off"
)


def check_ranking(workers: int) -> None:
    """Refuse what a ranking has not.

    Raises:
        ConfigurationError: several workers are asked for.
    """
    if workers > 1:
        raise ConfigurationError(
            "task='ranking' trains on one worker: workers share rows out, and a query may not be "
            "torn apart. Leave training_workers at 1."
        )


def boost_queries(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
    kept: Checkpoints | None = None,
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """Train until the NDCG of the validation queries stops rising; as `boost` does.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        matrix: the model's rows of validation, float32 of shape (n, k).
        settings: parameters, rounds and patience.
        kept: checkpoints to go on from and to write.

    Returns:
        The booster cut at its best round, and the NDCG of training and validation by round.

    Raises:
        DataError: labels or weights do not fit.
    """
    training = _matrix(plan, rows, plan.transform_training(rows), settings, None)
    validation = _matrix(plan, held_out, matrix, settings, training)
    return learn(settings.booster, training, validation, settings, kept)


def _matrix(
    plan: FeaturePlan,
    rows: StoredTable,
    features: np.ndarray,
    settings: Settings,
    cuts_of: xgb.QuantileDMatrix | None,
) -> xgb.QuantileDMatrix:
    """The rows in the order of their queries, as XGBoost wants them."""
    y = labels_of(plan, rows)
    weights, order = row_weights(plan, rows, y, settings.balance), by_query(y)
    facts = told(y[order], None if weights is None else weights[order])
    return xgb.QuantileDMatrix(
        features[order], feature_names=safe_names(plan), ref=cuts_of,
        max_bin=settings.booster["max_bin"], **facts,
    )  # fmt: skip
