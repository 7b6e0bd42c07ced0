from pathlib import Path

import pytest

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.sample import churn_table, write_sample


def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    assert churn_table(500, seed=3).equals(churn_table(500, seed=3))
    assert not churn_table(500, seed=3).equals(churn_table(500, seed=4))
    first = write_sample(tmp_path / "a", 500, 0, False, False).read_bytes()
    assert write_sample(tmp_path / "b", 500, 0, False, False).read_bytes() == first


def test_the_table_has_what_real_tables_have() -> None:
    table = churn_table(5000)
    columns = {name: table.column(name) for name in table.column_names}
    assert columns["age"].null_count > 0
    assert " " in columns["total_paid"].to_pylist()
    assert len(set(columns["customer_id"].to_pylist())) == 5000
    assert 0.1 < columns["churned"].to_pylist().count("Yes") / 5000 < 0.5


def test_leak_and_drift_are_switched_on() -> None:
    leaked = churn_table(5000, leak=True).to_pandas()
    assert ((leaked.cancellation_fee > 0) == (leaked.churned == "Yes")).all()
    plain, drifted = churn_table(5000).to_pandas(), churn_table(5000, drift=True).to_pandas()
    assert drifted.monthly_price.mean() > 1.1 * plain.monthly_price.mean()


def test_too_small_a_sample_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 100"):
        churn_table(99)
