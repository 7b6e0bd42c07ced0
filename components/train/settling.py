"""What validation rows settle of a model: its calibration, its threshold, its intervals."""

from dataclasses import replace

import numpy as np
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator, fit_calibrator
from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.response import Response, widening_for
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import Signature, signature_of
from shipway.components.train.threshold import best_threshold


def settle(
    plan: FeaturePlan,
    booster: xgb.Booster,
    matrix: np.ndarray,
    y: np.ndarray,
    response: Response,
    model_name: str,
    threshold_rule: str,
) -> tuple[Signature, np.ndarray]:
    """The signature of a model, and its margins of the validation rows.

    Args:
        plan: the feature plan.
        booster: that did not see the validation rows.
        matrix: the model's rows of validation, float32 of shape (n, k).
        y: their labels, shape (n,).
        response: what the margins of a regression mean.
        model_name: the model's.
        threshold_rule: what the answers of a binary model are for.

    Raises:
        DataError: the rows are too few for the interval that is asked for.
    """
    plain = signature_of(
        plan, model_name, None, Calibrator().to_json(), xgb.__version__, response.to_json()
    )
    scorer = Scorer(booster, plain)
    margins = scorer.margins(matrix)
    if plan.target.kind.numeric:
        interval = scorer.score_margins(margins).interval
        if interval is None:
            return plain, margins
        widening = widening_for(interval, y, response.coverage)
        if not np.isfinite(widening):
            raise DataError(
                f"{len(y):,} validation rows are too few to tell where {response.coverage:.0%} of "
                "values lie. Bring more rows, or ask for a smaller interval_coverage."
            )
        settled = replace(response, widening=widening).to_json()
        return replace(plain, response=settled), margins
    calibrator = fit_calibrator(plan.target, margins, y)
    threshold = None
    if plan.target.task == "binary":
        threshold = best_threshold(y, calibrator.apply(margins)[:, 1], threshold_rule)
    return replace(plain, threshold=threshold, calibrator=calibrator.to_json()), margins
