"""What a request may ask for beside its rows."""

import pytest


def ask(served, rows, **parameters):
    return served.post(
        "/v1/models/trips:predict", json={"instances": rows, "parameters": parameters}
    )


@pytest.mark.parametrize("threshold", [0, 0.2, 0.5, 0.9, 1])
def test_a_threshold_makes_the_labels_of_this_request(server, binary, threshold):
    plain = server.predict(binary.rows).json()
    answer = ask(server, binary.rows, threshold=threshold).json()
    assert answer["threshold"] == threshold and plain["threshold"] == 0.4
    for before, after in zip(plain["predictions"], answer["predictions"], strict=True):
        assert after["probabilities"] == before["probabilities"]
        assert after["label"] == ("yes" if after["probabilities"]["yes"] >= threshold else "no")
    assert server.predict(binary.rows).json() == plain


def test_a_threshold_is_met_by_the_probability_that_equals_it(server, binary):
    p = server.predict(binary.rows[:1]).json()["predictions"][0]["probabilities"]["yes"]
    assert ask(server, binary.rows[:1], threshold=p).json()["predictions"][0]["label"] == "yes"


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_top_k_gives_the_most_probable_classes_in_order(models, multiclass, k):
    rows = models["multiclass"].rows[:50]
    plain = multiclass.predict(rows).json()["predictions"]
    top = ask(multiclass, rows, top_k=k).json()["predictions"]
    for whole, cut in zip(plain, top, strict=True):
        ranked = sorted(whole["probabilities"].items(), key=lambda item: -item[1])
        assert list(cut["probabilities"].items()) == ranked[:k]
        assert next(iter(cut["probabilities"])) == str(whole["label"]) == str(cut["label"])


def test_explain_adds_contributions_to_predictions(server, binary):
    plain = server.predict(binary.rows[:4]).json()
    answer = ask(server, binary.rows[:4], explain=True, top_features=2).json()
    why = server.post(
        "/v1/models/trips:explain",
        json={"instances": binary.rows[:4], "parameters": {"top_features": 2}},
    ).json()
    assert answer["predictions"] == why.pop("explanations")
    assert why == {name: value for name, value in answer.items() if name != "predictions"}
    assert answer["space"] == "log_odds" and "space" not in plain
    for before, after in zip(plain["predictions"], answer["predictions"], strict=True):
        assert after | before == after and len(after["contributions"]) == 2


def test_wishes_that_change_nothing_are_answered_plainly(server, binary):
    plain = server.predict(binary.rows[:3]).json()
    assert ask(server, binary.rows[:3]).json() == plain
    assert ask(server, binary.rows[:3], explain=False, top_k=0, threshold=None).json() == plain


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"threshold": "0.5"}, "from 0 to 1"),
        ({"threshold": True}, "from 0 to 1"),
        ({"top_k": -1}, "'top_k'"),
        ({"top_k": 1.0}, "'top_k'"),
        ({"top_features": "3"}, "'top_features'"),
        ({"explain": 1}, "'explain'"),
        ({"explain_class": "yes"}, "several classes"),
        ({"treshold": 0.5}, "'treshold'"),
        ([], "must be an object"),
        (None, "must be an object"),
    ],
)
def test_wrong_wishes_are_400_and_named(server, binary, parameters, words):
    body = {"instances": binary.rows[:1], "parameters": parameters}
    answer = server.post("/v1/models/trips:predict", json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


def test_wishes_of_another_task_are_refused(models, multiclass, serving):
    rows = models["multiclass"].rows[:1]
    assert "binary" in ask(multiclass, rows, threshold=0.5).json()["error"]
    with serving(models["regression"].path) as served:
        assert "classification" in ask(served, rows, top_k=2).json()["error"]
        assert ask(served, rows, explain=True).json()["space"] == "value"


def test_an_unknown_category_is_refused_where_the_server_is_told_so(binary, serving, server):
    rows = [binary.rows[3] | {"company": "A new company"}]
    assert server.predict(rows).status_code == 200
    with serving(binary.path, "--unknown_category", "refuse") as served:
        for count in (1, 40):  # the lean way and the careful one
            answer = served.predict(binary.rows[: count - 1] + rows)
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert f"Row {count - 1}, column 'company'" in error and "'A new company'" in error
        assert served.predict(binary.rows[:40]).status_code == 200


@pytest.fixture(scope="module")
def multiclass(models, serving):
    with serving(models["multiclass"].path) as served:
        yield served
