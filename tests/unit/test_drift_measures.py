"""What drift is measured by: references, samples, distances, chance."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.drift.chance import adjusted, chance_of
from shipway.components.lib.drift.comparison import Settings, compare
from shipway.components.lib.drift.domain import rank_test, told_apart
from shipway.components.lib.drift.histograms import BINS, NumberHistogram
from shipway.components.lib.drift.measures import distance, divergence, moved_mass
from shipway.components.lib.drift.reference import Reference, build_reference
from shipway.components.lib.drift.sample import draw
from shipway.components.lib.errors import ConfigurationError
from tests.unit.drifting import columns, table


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
