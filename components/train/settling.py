"""What validation rows settle of a model: its calibration, its threshold, its intervals."""

from dataclasses import replace

import numpy as np
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator, fit_calibrator, level_shift
from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.response import Response, widening_for
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import Signature, signature_of
from shipway.components.train.request import Request
from shipway.components.train.threshold import best_threshold


def settle(
    plan: FeaturePlan,
    booster: xgb.Booster,
    matrix: np.ndarray,
    y: np.ndarray,
    response: Response,
    request: Request,
    related: np.ndarray | None = None,
    newest: bool = False,
) -> tuple[Signature, np.ndarray]:
    """The signature of a model, and its margins of the validation rows.

    Args:
        plan: the feature plan.
        booster: that did not see the validation rows.
        matrix: the model's rows of validation, float32 of shape (n, k).
        y: their labels, shape (n,).
        response: what the margins of a regression mean.
        request: names the model, and says what its answers are for.
        related: the group, or stretch of time, of each row, shape (n,); None where none depend.
        newest: whether the model is to learn these rows, the newest of all. The level of their
            labels is then left to `at_level`: whoever corrects what will be learnt corrects twice.
            Margins are moved to it for what else they settle, and given back so.

    Raises:
        DataError: the rows are too few for the interval that is asked for.
    """
    plain = signature_of(
        plan, request.model_name, None, Calibrator().to_json(), xgb.__version__, response.to_json()
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
    binary = plan.target.task == "binary"
    if binary and newest:
        margins = margins + level_shift(Calibrator(), margins, y)
    calibrator = fit_calibrator(plan.target, margins, y, related)
    threshold = None
    if binary:
        threshold = best_threshold(y, calibrator.apply(margins)[:, 1], request.threshold_rule)
    return replace(plain, threshold=threshold, calibrator=calibrator.to_json()), margins


def at_level(
    signature: Signature, booster: xgb.Booster, matrix: np.ndarray, y: np.ndarray
) -> Signature:
    """The signature with its probabilities at the level of the newest rows.

    What a model has learnt of that level depends on its features: of dates all, of others a part.
    The rest is added here. Its own rows tell, as a mean hardly knows of overfitting.

    Args:
        signature: as `settle` gave it.
        booster: that was trained on these rows, too.
        matrix: the model's rows, float32 of shape (n, k).
        y: their labels, shape (n,).
    """
    if signature.task != "binary":
        return signature
    calibrator = Calibrator.from_json(signature.calibrator)
    shift = level_shift(calibrator, Scorer(booster, signature).margins(matrix), y)
    return replace(signature, calibrator=calibrator.after(shift).to_json()) if shift else signature
