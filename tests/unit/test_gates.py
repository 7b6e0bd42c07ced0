from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.bless.evidence import Measured
from shipway.components.bless.gates import Gate, Override, read_gates
from shipway.components.bless.judge import gate_rules, overridden
from shipway.components.bless.rules import linear_rule
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.model_store import open_store
from tests.models import build, evaluated, judged, shuffled, table


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    sources = {"good": table(seed=1), "poor": shuffled(table(seed=1), 0.8)}
    sources["wide"] = table(seed=1).append_column("w", table(seed=3)["x"])
    return {name: build(root / name, source) for name, source in sources.items()}


@pytest.fixture(scope="module")
def folder(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of the good model, with its test rows."""
    return evaluated(models["good"], tmp_path_factory.mktemp("good"), protected=["city"])


def rules(decision: Decision, *names: str) -> list[Rule]:
    return [rule for rule in decision.rules if rule.name in names]


GATES = """
rules:
  - {metric: auc, at_least: 0.7, end: low}
  - {metric: recall, at_least: 0.3, slice: "city=Rome"}
  - {metric: auc, at_least: 0.6, slice: each, name: every slice}
  - {metric: log_loss, at_least: 0, against: constant, end: low}
  - {metric: cost.bytes, at_most: 10000000}
  - {metric: cost.latency_ms_p95, at_most: 1000, severity: warn}
  - {metric: calibration.p, at_least: 0.0}
  - {metric: fairness.city.selection_rate.difference, at_most: 0.9}
  - {metric: fairness.city.selection_rate.ratio, at_least: 0.05}
  - {metric: robustness.drop, at_most: 0.9}
"""


def test_every_kind_of_rule_is_judged(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    verdict, decision = judged(models["good"], folder, tmp_path, gates_uri=GATES)
    failed = [(rule.name, rule.sentence) for rule in decision.failures]
    assert (verdict, failed) == ("blessed", [])
    assert {rule.slice for rule in rules(decision, "every slice")} == {
        "city=Bern", "city=Rome", "city=Oslo",
    }  # fmt: skip
    assert rules(decision, "auc")[0].interval is not None
    assert rules(decision, "fairness.city.selection_rate.difference")[0].slice.startswith("city=")
    assert rules(decision, "cost.latency_ms_p95")[0].verdict == "warn"  # no golden rows to ask
    assert rules(decision, "better_than_constant", "better_than_linear")  # the defaults stay


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{metric: auc, at_least: 0.99, end: high}", "The high end of auc is"),
        ("{metric: aucc, at_least: 0.1}", "there is no such figure"),
        ("{metric: auc, at_least: 0.1, slice: 'city=Paris'}", "no test row is of slice"),
        ("{metric: auc, at_least: 0.1, slice: 'town=Rome'}", "no test row is of slice"),
        ("{metric: auc, at_least: 0.1, slice: 'city=Rome', min_rows: 900}", "rows, not 900"),
        ("{metric: auc, at_least: 0.5, against: linear}", "is not >= 0.5"),
        ("{metric: auc, at_least: -1, against: champion}", "No model store was given"),
        ("{metric: fairness.sex.selection_rate.ratio, at_least: 0}", "not among protected_columns"),
        ("{metric: stability.wear, at_most: 1}", "has no value"),
        ("{metric: cost.bytes, at_most: 1, slice: each}", "only a metric of the task"),
        ("{metric: cost.latency_ms_p95, at_most: 1000}", "has no value"),
        ("{metric: cost.bytes, at_most: 100000000, end: low}", "has no interval"),
    ],
)
def test_what_is_not_met_or_not_measured_fails(
    rule: str, words: str, models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    verdict, decision = judged(models["good"], folder, tmp_path, gates_uri=f"rules:\n  - {rule}\n")
    assert verdict == "rejected"
    assert len(decision.failures) == 1
    assert words in decision.failures[0].sentence


class Found:
    """An evidence that answers one figure, whatever is asked."""

    def __init__(self, figure: Measured) -> None:
        self.figure = figure

    def look_up(self, gate: Gate) -> list[Measured]:
        return [self.figure]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_no_number_is_no_pass(value: float | None) -> None:
    gate = Gate("auc", at_least=0.0, at_most=2.0, name="auc")
    rule = gate_rules([gate], Found(Measured(value)))[0]  # type: ignore[arg-type]
    assert rule.verdict == "fail"
    assert gate_rules([gate], Found(Measured(2.0)))[0].verdict == "pass"  # type: ignore[arg-type]


def test_champion_and_candidate_are_held_on_the_same_rows(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    store.promote("churn", store.register("churn", models["poor"], {}), None)
    gates = (
        "rules:\n  - {metric: log_loss, at_least: 0, against: champion, end: low}\n"
        "  - {metric: auc, at_least: 0, against: champion, end: low, slice: each}\n"
    )
    options = {"gates_uri": gates, "model_store": str(tmp_path / "store")}
    verdict, decision = judged(models["good"], folder, tmp_path / "a", **options)
    assert verdict == "blessed"
    found = rules(decision, "log_loss against champion")[0]
    assert found.interval is not None
    assert found.interval[0] > 0
    assert len(rules(decision, "auc against champion on each")) == 3
    same = open_store(str(tmp_path / "store"))
    same.promote("churn", same.register("churn", models["good"], {}), "1")
    verdict, decision = judged(models["good"], folder, tmp_path / "b", **options)
    assert verdict == "rejected"  # the champion itself is no improvement beyond chance on itself
    assert "there is none: This model is the champion itself" in decision.failures[0].sentence


def test_a_champion_without_its_column_fails_the_rule(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    store.promote("churn", store.register("churn", models["wide"], {}), None)
    gates = "rules:\n  - {metric: auc, at_least: -1, against: champion}\n"
    options = {"gates_uri": gates, "model_store": str(tmp_path / "store")}
    verdict, decision = judged(models["good"], folder, tmp_path, **options)
    assert verdict == "rejected"
    assert all("'w'" in rule.sentence for rule in decision.failures)


def test_an_override_needs_a_name_and_a_reason_and_stays_visible(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    rule = "rules:\n  - {metric: auc, at_least: 0.999}\n"
    words = "overrides:\n  - {rule: auc, by: Ada Lovelace, reason: a trial for one week only}\n"
    verdict, decision = judged(models["good"], folder, tmp_path, gates_uri=rule + words)
    assert verdict == "blessed"
    found = rules(decision, "auc")[0]
    assert found.verdict == "warn"
    assert "Overridden by Ada Lovelace: a trial for one week only" in found.sentence
    assert "is not >= 0.999" in found.sentence
    assert "Ada Lovelace" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("rule", ["evaluation", "aucc"])
def test_what_cannot_be_overridden_is_refused(rule: str) -> None:
    standing = [Rule("evaluation", "fail", "Another model."), Rule("auc", "fail", "Too low.")]
    with pytest.raises(ConfigurationError, match=f"overrides '{rule}'"):
        overridden(standing, [Override(rule, "Ada", "because I say so")])
    assert overridden(standing, [])[1].verdict == "fail"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [\n  a\n", "no YAML"),
        ("- a\n- b\n", "no mapping"),
        ("rule:\n  - a\n", "Did you mean 'rules'"),
        ("rules:\n  - {at_least: 1}\n", "names no metric"),
        ("rules:\n  - {metric: auc}\n", "neither at_least nor at_most"),
        ("rules:\n  - {metric: auc, at_least: high}\n", "it is a number"),
        ("rules:\n  - {metric: auc, at_least: .nan}\n", "it is a number"),
        ("rules:\n  - {metric: auc, at_last: 1}\n", "Did you mean 'at_least'"),
        ("rules:\n  - {metric: auc, at_least: 1, end: lower}\n", "one of value, low, high"),
        ("rules:\n  - {metric: auc, at_least: 1, against: best}\n", "one of champion"),
        ("rules:\n  - {metric: auc, at_least: 1, min_rows: few}\n", "whole number"),
        ("rules:\n  - auc\n", "is a mapping"),
        ("defaults: false\nrules: []\n", "nothing would be asked"),
        (
            "defaults: false\nrules:\n- {metric: auc, at_least: 0.9, severity: warn}\n",
            "nothing would be asked",
        ),
        ("overrides:\n  - {rule: auc, by: Ada}\n", "lacks 'reason'"),
        ("overrides:\n  - {rule: auc, reason: a good reason}\n", "lacks 'by'"),
        ("overrides:\n  - {rule: auc, by: Ada, reason: trust me}\n", "says too little"),
    ],
)
def test_a_rules_file_that_says_nothing_clear_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_gates(text)


def test_a_rules_file_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(GATES)
    assert read_gates(str(path)) == read_gates(GATES)
    assert read_gates("").rules == []
    with pytest.raises(DataError, match="nothing at"):
        read_gates(str(tmp_path / "none.yaml"))


def linear(low: float, high: float, metric: str, scores: tuple[float, float]) -> Rule:
    """The rule, where a linear model and a constant have these scores."""
    gain = {"value": (low + high) / 2, "low": low, "high": high}
    return linear_rule(
        {
            "main_metric": metric, "rows": 100, "gains": {"linear": {metric: gain}},
            "baselines": {"linear": {metric: scores[0]}, "constant": {metric: scores[1]}},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "pass"),
        (0.0, 0.0, "warn"),  # a tie to the bit
        (-0.01, 0.01, "warn"),
        (-0.05, 0.0, "warn"),
        (-0.03, -0.001, "warn"),  # surely worse, but perhaps within the margin
        (-0.03, -0.0125, "warn"),  # on the margin
        (-0.03, -0.0126, "fail"),
        (-0.15, -0.05, "fail"),
    ],
)
def test_a_linear_model_stops_where_it_is_surely_better_by_more_than_the_margin(
    low: float, high: float, verdict: str
) -> None:
    # It gains 0.25: the margin is a twentieth of that.
    assert linear(low, high, "auc", (0.75, 0.5)).verdict == verdict


@pytest.mark.parametrize(
    ("metric", "scores", "margin"),
    [
        ("auc", (0.52, 0.5), 0.001),  # little to gain
        ("auc", (0.99, 0.5), 0.0245),  # little left to err
        ("log_loss", (0.03, 1.03), 0.05),
        ("log_loss", (0.4, 0.69), 0.0145),
    ],
)
def test_the_margin_is_a_twentieth_of_what_the_linear_model_gains(
    metric: str, scores: tuple[float, float], margin: float
) -> None:
    assert linear(-9 * margin, -1.01 * margin, metric, scores).verdict == "fail"
    assert linear(-9 * margin, -0.99 * margin, metric, scores).verdict == "warn"


def sums(kind: str, rows: int, seed: int) -> pa.Table:
    """A table on which a linear model is right: classes that sums tell apart, or a sum itself."""
    draw = np.random.default_rng(seed)
    columns: np.ndarray = draw.normal(size=(rows, {"a sum of many": 20}.get(kind, 3)))
    label = columns.sum(axis=1)
    if kind == "classes":
        codes = draw.integers(0, 3, rows)
        columns, label = columns + 2.0 * codes[:, None], np.array(["a", "b", "c"])[codes]
    names = [f"x{index}" for index in range(columns.shape[1])]
    return pa.table(dict(zip(names, columns.T, strict=True)) | {"label": label})


@pytest.mark.parametrize(
    ("kind", "rows", "stops"),
    [("classes", 300, False), ("a sum", 300, False), ("a sum of many", 1_000, True)],
)
def test_trees_on_a_linear_table_stop_only_where_they_lose_much(
    kind: str, rows: int, stops: bool, tmp_path: Path
) -> None:
    model = build(tmp_path / "model", sums(kind, rows, 0))
    where = evaluated(model, tmp_path / "judged", sums(kind, 100, 1))
    verdict, decision = judged(model, where, tmp_path)
    found = rules(decision, "better_than_linear")[0]
    assert found.verdict == ("fail" if stops else "warn")
    assert verdict == ("rejected" if stops else "blessed")
    assert "what the linear model gains over a constant" in found.sentence


@pytest.mark.parametrize(("absolute", "verdict"), [(-0.2, "fail"), (0.1, "warn")])
def test_a_model_of_the_median_is_not_stopped_by_the_error_of_the_mean(
    absolute: float, verdict: str
) -> None:
    gains = {
        name: {"value": gain, "low": gain - 0.01, "high": gain + 0.01}
        for name, gain in (("r2", -0.3), ("mae", absolute))
    }
    scores = {"linear": {"r2": 0.8, "mae": 1.5}, "constant": {"r2": 0.0, "mae": 4.0}}
    evaluation = {"main_metric": "rmse", "rows": 100, "gains": {"linear": gains}}
    assert linear_rule(evaluation | {"baselines": scores}).verdict == verdict


def test_no_linear_model_is_told_and_does_not_stop() -> None:
    absent = linear_rule({"main_metric": "auc", "rows": 9, "gains": {}, "baselines": {}})
    assert absent.verdict == "warn"


def test_shuffled_labels_are_rejected_whatever_the_seed(tmp_path: Path) -> None:
    for seed in range(2):
        model = build(tmp_path / f"model{seed}", shuffled(table(seed=seed), seed=seed))
        where = evaluated(model, tmp_path / str(seed), shuffled(table(seed=9), seed=seed + 5))
        verdict, decision = judged(model, where, where)
        assert verdict == "rejected"
        assert "better_than_constant" in [rule.name for rule in decision.failures]


def test_another_test_split_changes_nothing_but_the_evaluation(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in models["good"].rglob("*") if path.is_file()}
    swapped = evaluated(models["good"], tmp_path / "swapped", table(seed=10))
    _, one = judged(models["good"], folder, tmp_path / "a")
    _, other = judged(models["good"], swapped, tmp_path / "b")
    assert {path: path.read_bytes() for path in before} == before
    digests = [rules(decision, "evaluation")[0].value for decision in (one, other)]
    assert digests[0] == digests[1]
    values = [rules(decision, "better_than_constant")[0].value for decision in (one, other)]
    assert values[0] != values[1]


def test_a_planted_weak_slice_is_found_by_the_gate(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(3_000, seed=9)
    city, x = np.array(test["city"].to_pylist()), test["z"].to_numpy()
    weak = (city == "Oslo") & (x > 0.3)
    label = np.array(test["label"].to_pylist())
    label[weak] = np.where(label[weak] == "yes", "no", "yes")
    test = test.set_column(test.column_names.index("label"), "label", pa.array(label))
    where = evaluated(models["good"], tmp_path, test)
    verdict, decision = judged(models["good"], where, tmp_path)
    assert verdict == "rejected"
    found = [rule.slice for rule in decision.failures if rule.name == "slice"]
    assert any("city = Oslo" in name and "z" in name for name in found)
