import numpy as np
import pytest
import xgboost as xgb

from shipway.components.lib.missing import places_of_missing, sending_missing, stand_in
from shipway.components.train.matrices import matrices

NAMES = ["a", "b", "c", "d"]


def cells(rows: int, seed: int = 0) -> np.ndarray:
    """Floats; the first two columns have cells missing, the first of them whatever it holds."""
    draw = np.random.default_rng(seed)
    found = draw.normal(size=(rows, len(NAMES))).astype(np.float32)
    found[:, 3] = draw.integers(0, 2, rows)
    return found


def test_cells_that_are_missing_by_chance_stand_at_the_median() -> None:
    features = cells(20_000)
    y = (features[:, 0] + features[:, 3] > 0.5).astype(np.int32)
    features[::5, 0] = np.nan
    places = places_of_missing(features, y)
    assert places == pytest.approx(np.nanmedian(features, axis=0))


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_missing_cells_stand_where_outcomes_are_like_theirs(kind) -> None:
    features = cells(20_000)
    gone = features[:, 1] > 1.2  # the high ones
    score = features[:, 1] + 0.2 * features[:, 2]
    y = np.digitize(score, [-1, 1]).astype(np.int32) if kind == "classes" else score
    features[gone, 1] = np.nan
    places = places_of_missing(features, y)
    assert places[1] > np.nanmax(features[:, 1])
    low = places_of_missing(-features, y)
    assert low[1] < np.nanmin(-features[:, 1])


@pytest.mark.parametrize("scale", [1.0, 3e38])
def test_a_number_past_the_last_one_is_finite_and_apart(scale: float) -> None:
    cells = np.array([-scale, 0, scale] * 500 + [np.nan] * 50, dtype=np.float32)[:, None]
    y = np.array([0, 0, 1] * 500 + [1] * 50, dtype=np.int32)
    with np.errstate(all="raise"):
        high = places_of_missing(cells, y)[0]
    assert np.isfinite(high)
    assert high >= np.float32(scale)
    assert places_of_missing(-cells, y)[0] == -high


def test_a_column_of_missing_cells_has_a_number_too() -> None:
    features = cells(100)
    features[:, 0] = np.nan
    assert np.isfinite(places_of_missing(features, np.zeros(100, dtype=np.float32))).all()


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_a_booster_says_of_missing_cells_what_it_said_of_their_numbers(objective) -> None:
    features = cells(5_000)
    y = np.digitize(features[:, 0] * features[:, 1], [-0.5, 0.5]).astype(np.int32)
    y = np.minimum(y, 1) if objective == "binary:logistic" else y
    gone = np.random.default_rng(1).random(features.shape) < 0.1
    features[gone] = np.nan
    places = places_of_missing(features, y)
    whole = stand_in(features.copy(), places)
    assert np.array_equal(whole[~gone], features[~gone]) and not np.isnan(whole).any()
    more = {"num_class": 3} if objective.startswith("multi") else {}
    trained = xgb.train(
        {"objective": objective, "max_depth": 5, "nthread": 1, **more},
        xgb.QuantileDMatrix(whole, y, feature_names=NAMES),
        30,
    )
    sent = sending_missing(trained, places)
    said = [
        one.inplace_predict(rows, predict_type="margin", validate_features=False)
        for one, rows in ((trained, whole), (sent, features), (sent, whole))
    ]
    assert said[0].tobytes() == said[1].tobytes() == said[2].tobytes()
    assert sent.feature_names == NAMES
    dense = xgb.DMatrix(features, feature_names=NAMES)
    shap = sent.predict(dense, pred_contribs=True).sum(axis=-1)
    assert shap == pytest.approx(said[1], abs=1e-4)


@pytest.mark.parametrize("external", [False, True])
def test_a_large_table_with_missing_cells_trains_as_well_as_xgboost_by_itself(external) -> None:
    draw = np.random.default_rng(3)
    features = cells(60_000, 3)
    score = features[:, 0] + features[:, 1] * features[:, 3] + draw.normal(size=60_000)
    y = (score > 0).astype(np.int32)
    features[:, :3][draw.random((60_000, 3)) < 0.1] = np.nan
    features[(features[:, 1] > 1) & (draw.random(60_000) < 0.5), 1] = np.nan
    known, new = slice(0, 40_000), slice(40_000, None)
    losses = []
    for cut_rows in (None, 20_000):
        with matrices(NAMES, 64, external, 9_000) as make:
            matrix = make.training(lambda _: features[known], y[known], None, cut_rows)
            held = make.held_out(features[new], y[new], None, matrix)
            history: dict = {}
            parameters = {"objective": "binary:logistic", "max_bin": 64, "eta": 0.1, "nthread": 1}
            booster = xgb.train(
                parameters, matrix, 60, evals=[(held, "v")], evals_result=history,
                verbose_eval=False,
            )  # fmt: skip
            booster = make.finished(booster)
            del matrix, held
        losses.append(history["v"]["logloss"][-1])
        said = booster.inplace_predict(features[new], validate_features=False)
        told = -np.log(np.where(y[new] == 1, said, 1 - said)).mean()
        assert told == pytest.approx(losses[-1], abs=1e-5)  # of rows whose cells are missing
    assert losses[1] != losses[0]
    assert losses[1] < losses[0] * 1.01
