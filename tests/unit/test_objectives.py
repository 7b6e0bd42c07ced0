"""What training minimises, what it is bound by, and what its answers mean."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.evaluate.cost import cost
from shipway.components.evaluate.learning import learning_curve
from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.held_out import score_held_out
from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.lib.response import Response, widening_for
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.tables import read_table, write_table
from shipway.components.train.logic import train
from shipway.components.train.request import Request

QUICK = {"num_boost_round": 60.0, "early_stopping_rounds": 8.0, "eta": 0.15, "nthread": 1.0}


def visits(rows: int, seed: int) -> pa.Table:
    """Counts whose mean and spread grow with x, as some of them do."""
    draw = np.random.default_rng(seed)
    x, z = draw.uniform(0, 3, rows), draw.normal(size=rows)
    return pa.table(
        {
            "x": x,
            "z": z,
            "town": draw.choice(["Bern", "Basel"], rows),
            "trust": np.where(x > 1.5, 1.0, 0.01),
            "label": draw.poisson(np.exp(0.8 * x)) + (z > 1) * 1.0,
        }
    )


@pytest.fixture
def made(tmp_path):
    """Trains on tables of `visits`, and gives the scorer of the package."""

    def make(change=lambda table: table, weight_column: str = "", **asked) -> Scorer:
        for name, rows, seed in (("train", 2_000, 0), ("validation", 800, 1)):
            write_table(change(visits(rows, seed)), tmp_path / name)
        page = tmp_path / "features.html"
        fit(tmp_path / "train", "label", tmp_path / "plan", page, weight_column=weight_column)
        given = {**QUICK, **asked.pop("parameters", {})}
        inputs = tmp_path / "train", tmp_path / "validation", tmp_path / "plan"
        request = Request("visits", given, 0, **asked)
        train(*inputs, tmp_path / "model", tmp_path / "page.html", request)
        package = load_package(tmp_path / "model")
        assert check_golden(package) <= 1e-6
        return Scorer(package.booster, package.signature)

    return make


def score(scorer: Scorer, table: pa.Table) -> Prediction:
    return scorer.score_table(table)


def positive(table: pa.Table) -> pa.Table:
    return table.set_column(4, "label", pa.array(table["label"].to_numpy() + 0.5))


@pytest.mark.parametrize("name", ["squared", "absolute", "poisson", "tweedie", "gamma"])
def test_each_objective_answers_in_the_unit_of_the_label(made, name) -> None:
    prediction = score(made(positive, objective=name), positive(visits(2_000, 2)))
    truth = positive(visits(2_000, 2))["label"].to_numpy()
    assert prediction.interval is None
    error = np.abs(prediction.values - truth).mean()
    assert error < 0.7 * np.abs(truth - np.median(truth)).mean()
    if name in ("poisson", "tweedie", "gamma"):
        assert prediction.values.min() > 0
        assert prediction.values.mean() == pytest.approx(truth.mean(), rel=0.1)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_an_interval_holds_the_share_that_it_promises(made, tmp_path, coverage) -> None:
    scorer = made(objective="quantile", parameters={"interval_coverage": coverage})
    table = visits(4_000, 2)
    prediction, truth = score(scorer, table), table["label"].to_numpy()
    low, high = prediction.interval.T
    assert (low <= prediction.values).all() and (prediction.values <= high).all()
    inside = ((low <= truth) & (truth <= high)).mean()
    assert inside == pytest.approx(coverage, abs=0.06)  # counts: ends fall on whole numbers
    width = high - low
    x = table["x"].to_numpy()
    assert width[x > 2].mean() > 1.5 * width[x < 1].mean()
    answer = scorer.outputs(prediction)[0]
    assert answer == {"value": prediction.values[0], "interval": [low[0], high[0]]}
    assert f"interval that holds {coverage:.0%}" in (tmp_path / "page.html").read_text()


def test_crossing_quantiles_are_put_in_order() -> None:
    values, interval = Response(coverage=0.8, widening=0.5).apply(np.array([[3.0, 1.0, 2.0]]))
    assert (values.tolist(), interval.tolist()) == ([2.0], [[0.5, 3.5]])
    _, interval = Response(coverage=0.8, widening=-9.0).apply(np.array([[1.0, 2.0, 3.0]]))
    assert interval.tolist() == [[2.0, 2.0]]
    assert Response(coverage=0.8).levels == pytest.approx([0.1, 0.5, 0.9])


def test_intervals_cover_the_truth_at_their_rate_over_many_draws() -> None:
    draw, inside = np.random.default_rng(0), []
    for _ in range(500):
        y = draw.normal(size=60)
        wrong = np.tile([-1.0, 0.2], (60, 1))  # far from the right ends
        widening = widening_for(wrong[:50], y[:50], 0.8)
        low, high = wrong[50:, 0] - widening, wrong[50:, 1] + widening
        inside.append(((low <= y[50:]) & (y[50:] <= high)).mean())
    assert 0.78 <= np.mean(inside) <= 0.84
    assert widening_for(np.zeros((5, 2)), np.zeros(5), 0.99) == np.inf


def test_labels_that_an_objective_cannot_take_are_refused(made) -> None:
    def below(table: pa.Table) -> pa.Table:
        return table.set_column(4, "label", pa.array(table["label"].to_numpy() - 1.0))

    with pytest.raises(DataError, match=r"'label' must be 0 or more .* is -1 in .*first: row"):
        made(below, objective="poisson")
    with pytest.raises(DataError, match="must be above 0"):
        made(objective="gamma")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "quantil"}, "objective='quantil' is unknown.*'quantile'"),
        ({"objective": "quantile", "parameters": {"interval_coverage": 1.0}}, "between 0 and 1"),
        ({"objective": "tweedie", "parameters": {"tweedie_variance_power": 2.0}}, "1 and 2"),
        ({"device": "gpu"}, "device='gpu' is unknown"),
        ({"monotone_constraints": {"y": 1.0}}, "names 'y', which is no column"),
        ({"monotone_constraints": {"x": 2.0}}, "'x' must be 1 or -1"),
        ({"monotone_constraints": {"town": 1.0}}, "used as category: only numbers"),
        ({"interaction_constraints": [["x", "why"]]}, "names 'why'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(made, asked, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        made(**asked)


def test_an_objective_of_a_regression_is_not_for_classes(made) -> None:
    def classes(table: pa.Table) -> pa.Table:
        return table.set_column(4, "label", pa.array(table["label"].to_numpy() > 3))

    with pytest.raises(ConfigurationError, match="for a regression; this task is binary"):
        made(classes, objective="absolute")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_monotone_prediction_never_turns(made, sign) -> None:
    scorer = made(monotone_constraints={"x": sign})
    rows = visits(200, 3).slice(0, 1).take([0] * 300)
    steps = rows.set_column(0, "x", pa.array(np.linspace(0, 3, 300)))
    assert (sign * np.diff(score(scorer, steps).values) >= 0).all()


@pytest.mark.parametrize(
    "constraints",
    [
        {"monotone_constraints": {"x": 1.0}},
        {"interaction_constraints": [["x", "trust"], ["z", "town"]]},
    ],
)
def test_a_model_under_constraints_has_a_learning_curve(made, tmp_path, constraints) -> None:
    plan = made(**constraints).plan
    rows, test = read_table(tmp_path / "train"), read_table(tmp_path / "validation")
    features, y = plan.transform_training(rows), plan.target.encode(rows["label"])
    package = load_package(tmp_path / "model")
    held = score_held_out(package, tmp_path / "validation")
    assert len(learning_curve(package, features, y, plan.transform(test), held)["points"]) == 3


def test_the_trees_of_every_quantile_are_counted(made, tmp_path) -> None:
    scorer = made(objective="quantile")
    package = load_package(tmp_path / "model")
    assert cost(package, scorer)["trees"] == len(package.booster.get_dump())


@pytest.mark.parametrize("objective", ["absolute", "quantile"])
def test_an_objective_that_turns_a_monotone_prediction_is_refused(made, objective) -> None:
    with pytest.raises(ConfigurationError, match="monotone_constraints do not hold with"):
        made(objective=objective, monotone_constraints={"x": 1.0})


def test_the_probabilities_of_several_classes_are_not_held_to_be_monotone(made) -> None:
    def grades(table: pa.Table) -> pa.Table:
        return table.set_column(4, "label", pa.array(np.minimum(table["label"].to_numpy(), 2)))

    with pytest.raises(ConfigurationError, match="do not hold with XGBoost's 'multi:softprob'"):
        made(grades, monotone_constraints={"x": 1.0})


def test_a_constraint_on_a_column_that_was_dropped_says_why(made) -> None:
    def flat(table: pa.Table) -> pa.Table:
        return table.append_column("flat", pa.array([1.0] * table.num_rows))

    with pytest.raises(ConfigurationError, match=r"'flat', which is no .* \(it has one value only"):
        made(flat, monotone_constraints={"flat": 1.0})


def test_columns_that_may_not_act_together_add_up(made) -> None:
    scorer = made(interaction_constraints=[["x", "trust"], ["z", "town"]])
    table = visits(50, 3)

    def change(x: float, z: float) -> np.ndarray:
        moved = table.set_column(0, "x", pa.array(np.full(50, x)))
        return score(scorer, moved.set_column(1, "z", pa.array(np.full(50, z)))).values

    effect = change(2.5, 2.0) - change(0.5, 2.0)
    assert effect == pytest.approx(change(2.5, -1.0) - change(0.5, -1.0), abs=1e-4)


def test_rows_that_weigh_little_teach_little(made) -> None:
    def shifted(table: pa.Table) -> pa.Table:
        wrong = table["trust"].to_numpy() < 0.5
        x = np.random.default_rng(7).uniform(0, 3, len(table))  # trust tells nothing any more
        label = np.where(wrong, 50.0, table["label"].to_numpy())
        return table.set_column(0, "x", pa.array(x)).set_column(4, "label", pa.array(label))

    table = shifted(visits(500, 5))
    plain = score(made(lambda rows: shifted(rows).drop_columns(["trust"])), table).values
    scorer = made(shifted, weight_column="trust")
    assert "trust" not in [column.name for column in scorer.plan.columns]
    weighed = score(scorer, table).values
    truth = table["label"].to_numpy()[table["trust"].to_numpy() > 0.5].mean()
    assert weighed.mean() == pytest.approx(truth, rel=0.2)
    assert plain.mean() > 2 * truth


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (-1.0, "must hold finite numbers of 0 or more; 1 of 2,000 rows do not"),
        (float("inf"), "must hold finite numbers of 0 or more; 1 of 2,000 rows do not"),
        (0.0, "is 0 in all of 2,000 rows"),
        ("much", "holds string, and weights are numbers"),
    ],
)
def test_weights_must_be_weights(made, bad, said) -> None:
    def change(table: pa.Table) -> pa.Table:
        others = [bad if bad in (0, "much") else 1.0] * (len(table) - 1)
        return table.set_column(3, "trust", pa.array([bad, *others]))

    with pytest.raises(DataError, match=f"weight column 'trust' {said}"):
        made(change, weight_column="trust")


def test_balanced_classes_still_give_honest_probabilities(made) -> None:
    def rare(table: pa.Table) -> pa.Table:
        label = np.where(table["label"].to_numpy() > 11, "many", "few")
        return table.set_column(4, "label", pa.array(label))

    for balance in (0.0, 1.0):
        scorer = made(rare, parameters={"balance_classes": balance})
        prediction = score(scorer, rare(visits(4_000, 2)))
        share = (rare(visits(4_000, 2))["label"].to_numpy() == "many").mean()
        many = scorer.plan.target.classes.index("many")
        assert prediction.probabilities[:, many].mean() == pytest.approx(share, rel=0.35)


def test_a_gpu_that_is_not_there_is_said_aloud(made, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        made(device="cuda")
    assert "device='cuda' was asked for, and the CPU trains" in caplog.text
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the CPU trained, and not the GPU that was asked for" in page


def test_rows_that_stand_on_disk_give_about_the_same_model(made) -> None:
    table = visits(1_000, 4)
    inside, outside = (
        score(made(parameters={"external_memory": on}), table).values for on in (0.0, 1.0)
    )
    assert np.corrcoef(inside, outside)[0, 1] > 0.98
