import json
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from shipway.components.lib import payload_log
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.drift.chance import adjusted, chance_of
from shipway.components.lib.drift.comparison import Settings, compare
from shipway.components.lib.drift.domain import rank_test, told_apart
from shipway.components.lib.drift.histograms import BINS, NumberHistogram
from shipway.components.lib.drift.measures import distance, divergence, moved_mass
from shipway.components.lib.drift.reference import Reference, build_reference
from shipway.components.lib.drift.sample import draw
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.tables import write_table
from shipway.components.monitor.logic import Request, detect, run_comparison
from shipway.components.monitor.rules import decide
from shipway.components.monitor.source import Source, predictions, request_rows

Change = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
DAYS = 90
FULL = int(os.environ.get("SHIPWAY_DRIFT_REPETITIONS", "0"))


def columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    """A column of each kind, independent of each other, but for `twin`, which follows `amount`."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(10, 2, rows)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    cities = np.array(["Berlin", "Paris", "Rome", "Madrid"], dtype=object)
    words = np.array(["late", "again", "the", "train", "was", "and", "cold"], dtype=object)
    return {
        "amount": amount,
        "twin": amount + rng.normal(0, 0.3, rows),
        "skewed": np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(5, rows)),
        "count": rng.poisson(3, rows).astype(float),
        "text_number": np.array([f"{v:.1f}" for v in rng.normal(5, 1, rows)], dtype=object),
        "city": rng.choice(cities, rows, p=[0.5, 0.3, 0.15, 0.05]),
        "shop": np.array([f"s{i}" for i in rng.integers(0, 400, rows)], dtype=object),
        "open": rng.random(rows) < 0.3,
        "note": np.array(
            [" ".join(rng.choice(words, rng.integers(4, 9))) + f" {i}" for i in range(rows)],
            dtype=object,
        ),
        "at": np.array(
            [start + timedelta(seconds=float(s)) for s in rng.uniform(0, DAYS * 86_400, rows)]
        ),
        "row_id": np.arange(rows) + 1000 * seed,
        "constant": np.full(rows, 7.0),
        "nothing": np.full(rows, None, dtype=object),
    }


def table(values: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: pa.array(v, from_pandas=True) for name, v in values.items()})


def judge(base: pa.Table, current: pa.Table, **more: object) -> Decision:
    """The decision on two tables in memory."""
    request = Request(**more)
    sources = (Source(Path("here"), lambda rows=rows: iter([rows])) for rows in (base, current))
    comparison = run_comparison(*sources, request)
    return decide(comparison, request.false_alarm_rate, request.label, request.prediction)


class Gate:
    """Runs the step on two tables on disk and keeps what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def judge(self, base: pa.Table, current: pa.Table, **more: object) -> Decision:
        for name, rows in (("base", base), ("current", current)):
            write_table(rows, self.folder / name)
        return self.run(Request(**more))

    def run(self, request: Request) -> Decision:
        detect(
            self.folder / "base",
            self.folder / "current",
            request,
            self.folder / "decision.json",
            self.folder / "page.html",
        )
        return Decision.load(self.folder / "decision.json")

    @property
    def page(self) -> str:
        return (self.folder / "page.html").read_text()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def moved(decision: Decision) -> dict[str, Rule]:
    """The rules that raise an alarm, by column."""
    found = decision.failures + decision.warnings
    return {rule.slice: rule for rule in found if rule.name != "rows"}


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda values: values | {name: change(values[name])}


def some(values: np.ndarray, share: float, put: object) -> np.ndarray:
    """Another value in a share of the cells."""
    result = values.astype(object)
    result[: int(share * len(values))] = put
    return result


SHIFTS = {
    "mean": ("amount", changed("amount", lambda v: v + 1), "higher: mean"),
    "scale": ("amount", changed("amount", lambda v: 10 + 1.5 * (v - 10)), "wider"),
    "unit": ("amount", changed("amount", lambda v: v / 100), "below all of the baseline"),
    "nulls": ("amount", changed("amount", lambda v: some(v, 0.1, None)), "0.0% before, 10.0% now"),
    "zeros": (
        "skewed",
        changed("skewed", lambda v: some(v, 0.5, 0.0).astype(float)),
        "values 0: 59",
    ),
    "integers": ("count", changed("count", lambda v: v + 1), "higher"),
    "words": ("text_number", changed("text_number", lambda v: some(v, 0.1, "n/a")), "be read"),
    "shares": ("city", changed("city", lambda v: some(v, 0.3, "Rome")), "'Rome'"),
    "unseen": ("city", changed("city", lambda v: some(v, 0.1, "Oslo")), "'Oslo', which is new"),
    "boolean": ("open", changed("open", lambda v: ~v), "'"),
    "constant": ("constant", changed("constant", lambda v: v + 1), "above all of the baseline"),
    "filled": ("nothing", changed("nothing", lambda v: some(v, 1, "x")), "'x', which is new"),
    "emptied": ("city", changed("city", lambda v: some(v, 1, None)), "missing values"),
    "shorter": ("note (length)", changed("note", lambda v: np.array([t[:9] for t in v])), "below"),
    "explosion": (
        "shop (new values)",
        changed("shop", lambda v: np.array([f"x{i}" for i in range(len(v))], dtype=object)),
        "values that the baseline has not",
    ),
    "nights": (
        "at (hour)",
        changed("at", lambda v: np.array([t.replace(hour=t.hour // 4) for t in v])),
        "now",
    ),
    "dates": (
        "at",
        changed("at", lambda v: np.array([t - timedelta(days=30) for t in v])),
        "below all of the baseline",
    ),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_planted_shift_is_found_and_its_direction_told(shift: str) -> None:
    name, change, story = SHIFTS[shift]
    decision = judge(table(columns(2_000, 1)), table(change(columns(1_500, 2))))
    assert decision.verdict == "fail"
    rule = moved(decision)[name]
    assert story in rule.sentence
    assert rule.verdict == "fail"
    alike = {name, name.split(" ")[0], "twin", "", "at (hour)", "at (weekday)"}
    assert set(moved(decision)) <= alike


def test_nothing_is_found_where_nothing_moved(gate: Gate) -> None:
    decision = gate.judge(table(columns(2_000, 1)), table(columns(1_500, 2)))
    assert moved(decision) == {}
    assert decision.verdict == "pass"
    assert "None of 12 columns moved" in gate.page
    told = {rule.slice: rule.sentence for rule in decision.rules}
    assert "numbers the rows" in told["row_id"]


def test_columns_that_no_longer_go_together_are_found(gate: Gate) -> None:
    current = columns(2_000, 2)
    current["twin"] = current["twin"][::-1]
    decision = gate.judge(table(columns(2_000, 1)), table(current))
    assert set(moved(decision)) == {""}
    (rule,) = decision.failures
    assert rule.name == "multivariate_drift"
    assert "'amount'" in rule.sentence
    assert "'twin'" in rule.sentence
    assert "together they did" in gate.page


@pytest.mark.parametrize("rows", [1, 2, 5, 20, 60])
def test_few_rows_raise_no_alarm_and_say_so(rows: int) -> None:
    decision = judge(table(columns(2_000, 1)), table(columns(rows, 2)))
    assert decision.failures == []
    assert [rule.name for rule in decision.warnings] == ["rows"]
    assert "too few rows to tell" in decision.warnings[0].sentence


def test_a_gross_change_shows_in_few_rows() -> None:
    current = columns(25, 2)
    current["amount"] = current["amount"] / 100
    decision = judge(table(columns(2_000, 1)), table(current))
    assert [rule.slice for rule in decision.failures] == ["amount"]


def test_no_rows_at_all_fail() -> None:
    base = table(columns(100, 1))
    decision = judge(base, base.slice(0, 0))
    assert [rule.name for rule in decision.failures] == ["rows"]
    with pytest.raises(DataError, match="has no rows"):
        judge(base.slice(0, 0), base)


def test_lost_and_new_columns_are_named() -> None:
    base = table(columns(500, 1))
    current = table(columns(500, 2)).drop_columns(["city"]).append_column("extra", [[1] * 500])
    decision = judge(base, current)
    assert {(rule.name, rule.slice) for rule in decision.failures} == {("missing_column", "city")}
    assert moved(decision)["extra"].name == "new_column"
    assert not moved(judge(base, current, ignored=["city", "extra"]))


def test_the_label_and_the_prediction_have_rules_of_their_own() -> None:
    base, current = columns(1_000, 1), columns(1_000, 2)
    current["open"] = ~current["open"]
    decision = judge(table(base), table(current), label="open", prediction="count")
    assert moved(decision)["open"].name == "label_drift"
    assert "" not in moved(decision)  # the model that tells tables apart does not see it
    named = {rule.slice: rule.name for rule in decision.rules}
    assert named["count"] == "prediction_drift"
    decision = judge(table(base), table(current).drop_columns(["open"]), label="open")
    assert decision.verdict == "pass"
    assert any("no 'open' yet" in rule.sentence for rule in decision.rules)


def test_rows_of_a_later_span_are_not_blamed_for_their_date() -> None:
    later = columns(1_500, 2)
    later["at"] = np.array([moment + timedelta(days=7 * 13 - 2) for moment in later["at"]])
    decision = judge(table(columns(2_000, 1)), table(later))
    assert moved(decision) == {}
    assert any("go on after those of the baseline" in r.sentence for r in decision.rules)


def test_a_bound_of_its_own_lets_a_column_move() -> None:
    base, current = table(columns(2_000, 1)), columns(1_500, 2)
    current["amount"] = current["amount"] + 0.8
    assert moved(judge(base, table(current)))["amount"].verdict == "fail"
    decision = judge(base, table(current), thresholds={"amount": 0.5})
    assert moved(decision)["amount"].verdict == "warn"


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"thresholds": {"amuont": 0.2}}, "Did you mean 'amount'"),
        ({"thresholds": {"amount": 1.5}}, "between 0"),
        ({"thresholds": {"amount": math.nan}}, "between 0"),
        ({"false_alarm_rate": 0.0}, "above 0"),
        ({"ignored": ["citty"]}, "Did you mean 'city'"),
        ({"label": "opne"}, "Did you mean 'open'"),
    ],
)
def test_a_wrong_request_is_refused(request_of: dict, words: str) -> None:
    rows = table(columns(50, 1))
    with pytest.raises(ConfigurationError, match=words):
        judge(rows, rows, **request_of)


def test_other_types_of_the_same_values_are_the_same() -> None:
    base, current = table(columns(1_000, 1)), table(columns(1_000, 2))
    for name, kind in (
        ("count", pa.int32()),
        ("amount", pa.string()),
        ("city", pa.dictionary(pa.int32(), pa.string())),
        ("open", pa.string()),
        ("at", pa.string()),
        ("constant", pa.decimal128(5, 2)),
    ):
        place = current.column_names.index(name)
        current = current.set_column(place, name, current.column(name).cast(kind))
    assert moved(judge(base, current)) == {}


def test_columns_of_other_types_are_said_to_be_left_out() -> None:
    rows = pa.table({"x": np.arange(40.0) % 7, "list": [[1]] * 40})
    decision = judge(rows, rows)
    assert decision.verdict == "pass"
    assert any("no rule for columns of type list" in rule.sentence for rule in decision.rules)


def test_the_page_survives_hostile_names_and_values(gate: Gate) -> None:
    rng = np.random.default_rng(0)
    name = "<script>alert(1)</script>" + "x" * 500
    base = pa.table({name: rng.choice(["<b>", "שלום", "a" * 999], 500)})
    current = pa.table({name: rng.choice(["</table>", "שלום", ""], 500)})
    decision = gate.judge(base, current)
    assert decision.verdict == "fail"
    assert "<script>alert" not in gate.page
    assert "<b>" not in gate.page.split("<table>")[-1].replace('<b aria-hidden="true">', "")
    assert len(gate.page) < 1_000_000


def logged(rows: list[dict], answers: list[dict], folder: Path, **more: bytes) -> None:
    bodies = [
        (payload_log.REQUEST, json.dumps({"instances": rows}).encode()),
        (payload_log.RESPONSE, json.dumps({"predictions": answers}).encode()),
        *((payload_log.REQUEST, body) for body in more.values()),
    ]
    events = {name: [None] * len(bodies) for name in payload_log.SCHEMA.names}
    events |= {"id": ["1", "1", *more], "type": [k for k, _ in bodies]}
    events["data"] = [body for _, body in bodies]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(events, payload_log.SCHEMA), folder / "2024.parquet")


def test_a_payload_log_is_compared_with_training_rows(gate: Gate) -> None:
    names = ["amount", "city", "at"]
    base = table(columns(1_000, 1)).select(names)
    write_table(base, gate.folder / "base")
    rows = table(columns(400, 2)).select(names).to_pylist()
    sent = [row | {"at": row["at"].isoformat(), "amount": row["amount"] + 2} for row in rows]
    logged(sent, [{"label": "yes"}] * 400, gate.folder / "current" / "day", broken=b"\x00\x01")
    decision = gate.run(Request())
    assert {rule.slice for rule in decision.failures} == {"amount", ""}
    (warning,) = [rule for rule in decision.warnings if rule.name == "payload_log"]
    assert "1 of 2 logged requests" in warning.sentence


def test_predictions_of_two_logs_are_compared(gate: Gate) -> None:
    rng = np.random.default_rng(0)
    for name, share in (("base", 0.2), ("current", 0.6)):
        rows = [{"x": float(x)} for x in rng.normal(size=800)]
        answers = [{"label": "yes" if u < share else "no"} for u in rng.random(800)]
        logged(rows, answers, gate.folder / name)
    decision = gate.run(Request())
    (rule,) = decision.failures
    assert (rule.name, rule.slice) == ("prediction_drift", "prediction")


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [{"a": 1}, {"a": 2, "b": "x"}]}, [{"a": 1}, {"a": 2, "b": "x"}]),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"inputs": [{"name": "a", "data": [1, 2]}]}, [{"a": 1}, {"a": 2}]),
        ({"inputs": [{"name": "a", "data": [[1], [2]]}]}, [{"a": 1}, {"a": 2}]),
        ({"inputs": [{"name": "a", "data": [1, 2]}, {"name": "b", "data": [1]}]}, None),
        ({"instances": [[1, 2]]}, None),
        ({"other": 1}, None),
        ([1], None),
    ],
)
def test_rows_of_requests(body: object, rows: list[dict] | None) -> None:
    assert request_rows(json.dumps(body).encode()) == rows


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"predictions": [{"label": "a", "probabilities": {}}, {"label": "b"}]}, ["a", "b"]),
        ({"predictions": [{"value": 1.5}]}, [1.5]),
        ({"predictions": [1, 0]}, [1, 0]),
        ({"outputs": [{"name": "label", "data": ["a"]}, {"name": "x", "data": [1]}]}, ["a"]),
        ({"predictions": [[0.1, 0.9]]}, []),
        ({}, []),
    ],
)
def test_predictions_of_answers(body: object, made: list[object]) -> None:
    assert predictions(json.dumps(body).encode()) == made


def test_references_add_up_and_survive_json(tmp_path: Path) -> None:
    rows = table(columns(3_000, 1))
    whole, _ = build_reference(lambda: iter([rows]))
    parts = [whole.counting([rows.slice(start, 1_000)]) for start in (0, 1_000, 2_000)]
    total = parts[0]
    for part in parts[1:]:
        total.merge(part)
    total.save(tmp_path / "reference.json")
    assert (tmp_path / "reference.json").stat().st_size < 60_000
    again = Reference.load(tmp_path / "reference.json")
    assert again.rows == 3_000
    for mine, theirs in zip(again.histograms, whole.histograms, strict=True):
        assert mine.counts == theirs.counts
        assert mine.missing == theirs.missing
        if isinstance(mine, NumberHistogram):
            assert mine.mean == pytest.approx(theirs.mean)
            assert mine.deviation == pytest.approx(theirs.deviation)
    drifted = again.counting([table(columns(1_000, 2) | {"city": np.full(1_000, "Rome")})])
    again.columns = rows.column_names
    found = {shift.name: shift for shift in compare(again, drifted, None, Settings()).shifts}
    assert found["city"].effect > 0.4
    assert found["amount"].adjusted > 0.01


def test_a_damaged_reference_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text('{"format": 1}')
    with pytest.raises(ConfigurationError, match="no reference of drift"):
        Reference.load(tmp_path / "reference.json")


def test_a_number_has_quantile_bins_and_shared_values_their_own() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=4_000), np.zeros(1_000))
    reference, _ = build_reference(lambda: iter([pa.table({"x": values})]))
    histogram = reference.histograms[0]
    assert isinstance(histogram, NumberHistogram)
    assert BINS <= len(histogram.counts) <= BINS + 4
    assert 1_000 in histogram.counts
    assert histogram.counts[0] == histogram.counts[-1] == 0
    assert sum(histogram.counts) == 5_000


def test_a_sample_is_even_and_in_order() -> None:
    pieces = [pa.table({"x": np.arange(start, start + 1_000)}) for start in range(0, 50_000, 1_000)]
    sample, rows = draw(pieces, 5_000, seed=0)
    values = sample.column("x").to_numpy()
    assert rows == 50_000
    assert len(values) == 5_000
    assert (np.diff(values) > 0).all()
    assert values.mean() == pytest.approx(25_000, rel=0.05)


def test_distances_known_by_hand() -> None:
    half, one = np.array([50, 50]), np.array([100, 0])
    assert distance(float(divergence(half, half))) == 0
    assert distance(float(divergence(one, one[::-1]))) == 1
    by_hand = 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(2) + math.log2(1 / 0.75))
    assert float(divergence(half, one)) == pytest.approx(by_hand)
    low, high = NumberHistogram([0.0, 1.0, 2.0]), NumberHistogram([0.0, 1.0, 2.0])
    low.counts, low.low, low.high, low.square = [0, 100, 0, 0], 0.0, 1.0, 100.0
    high.counts, high.low, high.high = [0, 0, 100, 0], 1.0, 2.0
    assert moved_mass(low, high) == pytest.approx(1.0)


def test_p_values_are_even_where_nothing_moved() -> None:
    rng = np.random.default_rng(0)
    share = np.array([0.4, 0.3, 0.2, 0.1])
    found = [
        chance_of(rng.multinomial(300, share), rng.multinomial(200, share), 0.01, 1.0, rng).p_value
        for _ in range(150)
    ]
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.09
    assert 0.4 <= np.mean(found) <= 0.6


def test_holm_by_hand() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([]) == []


def test_the_rank_test_agrees_with_scipy() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    above, below = rng.integers(2, 12, 80).astype(float), rng.integers(0, 10, 120).astype(float)
    area, error, p_value = rank_test(above, below)
    peer = mannwhitneyu(
        above, below, alternative="greater", method="asymptotic", use_continuity=False
    )
    assert area == pytest.approx(peer.statistic / (80 * 120))
    assert p_value == pytest.approx(peer.pvalue)
    drawn = [rank_test(rng.choice(above, 80), rng.choice(below, 120))[0] for _ in range(300)]
    assert error == pytest.approx(np.std(drawn), rel=0.2)


def test_too_few_rows_are_no_matter_for_a_model() -> None:
    rows = np.zeros((99, 1))
    assert told_apart(rows, rows, ["x"], 0) is None


@pytest.fixture(scope="module")
def flights(shared_data: Path) -> dict[int, pa.Table]:
    """The flights of each month."""
    table = pq.read_table(shared_data / "nyc-flights" / "flights.parquet")
    months = table.column("month").to_numpy()
    return {month: table.filter(pa.array(months == month)) for month in range(1, 13)}


@pytest.mark.slow
def test_flights_drift_with_the_season_and_not_by_their_codes(
    flights: dict[int, pa.Table],
) -> None:
    base = pa.concat_tables([flights[month] for month in (1, 2, 3)])
    months = range(4, 13) if FULL else (4, 7)
    failed = {}
    for month in months:
        decision = judge(base, flights[month], label="late")
        failed[month] = {rule.slice: rule.value for rule in decision.failures}
        steady = {"year", "carrier", "origin", "dest", "sched_arr_time", "time_hour"}
        steady |= {"tailnum"} if month < 9 else set()  # a fleet is renewed slowly
        assert not steady & set(failed[month])
        assert {"month", "wx_temp", "wx_dewp", ""} <= set(failed[month])
        if FULL:
            print(
                month, decision.verdict, len(failed[month]), len(decision.warnings), failed[month]
            )
    assert failed[7]["wx_temp"] > 0.9 > failed[4]["wx_temp"]
    assert failed[7]["wx_dewp"] > failed[4]["wx_dewp"]


def halves(table: pa.Table, rows: int, seed: int) -> tuple[pa.Table, pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table.take(order[:rows]), table.take(order[rows : 2 * rows])


@pytest.mark.parametrize("kind", ["made", "flights"])
def test_random_halves_raise_no_alarm_beyond_the_stated_rate(
    kind: str, request: pytest.FixtureRequest
) -> None:
    repetitions, rows = (FULL, 5_000) if FULL else (6, 1_000)
    if kind == "flights":
        table_ = pa.concat_tables(request.getfixturevalue("flights").values())
    else:
        table_ = table(columns(2 * rows, 0)).drop_columns(["row_id"])
    rate, alarms = 0.01, 0
    for seed in range(repetitions):
        first, second = halves(table_, rows, seed)
        decision = judge(first, second, false_alarm_rate=rate)
        alarms += bool(moved(decision))
    allowed = binom.ppf(0.995, repetitions, rate)
    print(kind, alarms, "of", repetitions)
    assert alarms <= allowed
