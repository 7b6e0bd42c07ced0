"""Why a row got its answer: contributions by raw column that add up to the margin."""

import numpy as np
import pytest

from shipway.components.lib.model_package import load_package
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.questions import NO_WISHES


def explain(served, rows, path="/v1/models/trips:explain", **parameters):
    body = {"instances": rows} | ({"parameters": parameters} if parameters else {})
    return served.post(path, json=body)


def logit(p):
    return float(np.log(p / (1 - p)))


def margins(model, rows):
    transform = model.scorer.plan.row_transformer()
    return model.scorer.margins(np.stack([transform(row) for row in rows]))


def sums(explanations):
    return [e["base_value"] + sum(e["contributions"].values()) for e in explanations]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_contributions_and_base_value_are_the_scorers_margin(models, task, serving):
    model = models[task]
    rows = [*model.rows[:60], model.rows[0] | {"miles": None, "company": None, "total": " "}]
    with serving(model.path, "--threads", 2) as served:
        answer = explain(served, rows)
        alone = explain(served, rows[:1]).json()["explanations"]
        plain = served.predict(rows).json()["predictions"]
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model_name"] == "trips" and body["model_digest"] == model.digest
    assert body["space"] == ("value" if task == "regression" else "log_odds")
    explanations = body["explanations"]
    assert alone == explanations[:1]
    expected = margins(model, rows)
    if task == "multiclass":
        codes = [model.scorer._signature.classes.index(e["explained_class"]) for e in explanations]
        assert [e["explained_class"] for e in explanations] == [p["label"] for p in plain]
        expected = expected[np.arange(len(rows)), codes]
    np.testing.assert_allclose(sums(explanations), expected, atol=1e-4)
    assert all(list(e["contributions"]) == model.names for e in explanations)
    assert [{name: e[name] for name in plain[0]} for e in explanations] == plain


def test_the_margin_of_a_binary_answer_is_that_of_the_positive_class(server, binary):
    explanations = explain(server, binary.rows[:30]).json()["explanations"]
    assert {e["explained_class"] for e in explanations} == {"yes"}
    expected = [logit(e["probabilities"]["yes"]) for e in explanations]
    np.testing.assert_allclose(sums(explanations), expected, atol=1e-4)


def test_the_column_that_made_the_label_weighs_most(server, binary):
    explanations = explain(server, binary.rows, top_features=1).json()["explanations"]
    largest = [next(iter(e["contributions"])) for e in explanations]
    assert largest.count("fare") > len(largest) / 2


def test_top_features_are_the_largest_first(server, binary):
    whole = explain(server, binary.rows[:8]).json()["explanations"]
    cut = explain(server, binary.rows[:8], top_features=3).json()["explanations"]
    for all_of_them, top in zip(whole, cut, strict=True):
        ranked = sorted(all_of_them["contributions"].items(), key=lambda item: -abs(item[1]))
        assert list(top["contributions"].items()) == ranked[:3]
        assert top["base_value"] == all_of_them["base_value"]


def test_any_of_several_classes_can_be_explained(models, serving):
    model = models["multiclass"]
    rows = model.rows[:5]
    with serving(model.path) as served:
        for code, name in enumerate(["1", "2", "3"]):
            explanations = explain(served, rows, explain_class=name).json()["explanations"]
            assert [e["explained_class"] for e in explanations] == [code + 1] * 5
            np.testing.assert_allclose(sums(explanations), margins(model, rows)[:, code], atol=1e-4)
        refused = explain(served, rows, explain_class="4")
    assert refused.status_code == 400
    assert "'explain_class'" in refused.json()["error"]


def test_list_rows_and_versioned_paths_are_explained_too(server, binary):
    expected = explain(server, binary.rows[:2]).json()
    in_order = [[row[name] for name in binary.names] for row in binary.rows[:2]]
    path = "/v1/models/trips/versions/7:explain"
    assert explain(server, in_order, path).json() == expected
    assert explain(server, in_order, path.replace("7", "8")).status_code == 404


def test_what_cannot_be_predicted_cannot_be_explained(server, binary):
    answer = explain(server, [binary.rows[0] | {"fare": "x"}])
    assert answer.status_code == 400 and "column 'fare'" in answer.json()["error"]
    assert server.get("/v1/models/trips:explain").status_code == 405


def test_a_request_of_too_many_rows_is_413(binary, serving):
    with serving(binary.path, "--max_explain_rows", 3) as served:
        assert explain(served, binary.rows[:3]).status_code == 200
        for rows in (4, 200):  # answered on the event loop, and beside it
            answer = explain(served, binary.rows[:rows])
            assert answer.status_code == 413
            assert f"{rows} rows to explain" in answer.json()["error"]
        assert served.predict(binary.rows[:200]).status_code == 200


def test_features_of_one_column_are_summed(binary):
    engine = Engine(load_package(binary.path))
    plan = binary.scorer.plan
    assert len(plan.feature_names) > len(plan.columns)
    rows = plan.transform(binary.table.slice(0, 4))
    explanation = engine.explain(rows, engine.score(rows), NO_WISHES)
    shares = engine._explainer._shares(rows)
    for column, total in zip(plan.columns, explanation.contributions.T, strict=True):
        slots = [plan.feature_names.index(name) for name in column.outputs]
        np.testing.assert_allclose(total, shares[:, slots].sum(axis=1), atol=1e-5)
