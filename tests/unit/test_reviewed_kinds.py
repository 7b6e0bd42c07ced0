"""What a reviewed schema says of columns overrules what the feature plan would guess."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.schema_file import kinds_of, marked, review_of, reviewed_kinds
from shipway.components.lib.tables import read_table, write_table

SCHEMA = """# kept by the data team
feature {
  name: "x"
  type: FLOAT
  presence { min_fraction: 1.0 min_count: 1 }
  float_domain { min: -9.0 max: 9.0 }
}
feature { name: "zone" type: BYTES annotation { tag: "shipway.kind=category" } }
feature { name: "room" type: BYTES annotation { tag: "old" tag: "shipway.kind=identifier" } }
feature { name: "number" type: INT annotation { tag: "shipway.kind=identifier" } }
feature { name: "remark" type: BYTES annotation { tag: "shipway.kind=free text" } }
feature { name: "seen" type: BYTES annotation { tag: "shipway.kind=date" } }
default_environment: "TRAINING"
"""


@pytest.fixture
def train(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    seen = [f"2024-0{1 + i % 9}-1{i % 7}" if i % 4 else f"unknown {i}" for i in range(300)]
    columns = {
        "x": draw.normal(size=300),
        "zone": draw.choice(["1", "2", "30"], 300),
        "room": draw.choice(["a", "b", "c"], 300),
        "number": draw.integers(0, 9, 300),
        "remark": draw.choice(["good", "poor"], 300),
        "seen": seen,
        "label": draw.choice(["no", "yes"], 300),
    }
    write_table(pa.table(columns), tmp_path / "train")
    return tmp_path / "train"


def fitted(train: Path, schema: str) -> FeaturePlan:
    path = train.parent / "schema.pbtxt"
    path.write_text(schema)
    return fit(train, "label", train.parent / "plan", train.parent / "page", schema=path)


def kinds(plan: FeaturePlan) -> dict[str, str]:
    return {column.name: column.kind for column in plan.columns}


def test_a_reviewed_schema_overrules_the_guess_with_the_reason(train: Path) -> None:
    plan = fitted(train, marked(SCHEMA, "Ada"))
    assert kinds(plan) == {"x": "number", "zone": "category", "seen": "datetime"}
    reasons = {column.name: column.reason for column in plan.dropped}
    assert set(reasons) == {"room", "number", "remark"}
    assert all(reason.endswith("says the reviewed schema") for reason in reasons.values())
    assert "Ada reviewed the schema" in (train.parent / "page").read_text()


def test_codes_that_look_like_numbers_are_categories_alike_in_a_batch_and_in_a_row(
    train: Path,
) -> None:
    plan = fitted(train, marked(SCHEMA, "Ada"))
    rows = read_table(train)
    row = plan.row_transformer()
    batch = plan.transform(rows)
    for index in range(20):
        cells = {name: rows[name][index].as_py() for name in kinds(plan)}
        assert row(cells).tobytes() == batch[index].tobytes()
    read = FeaturePlan.from_json(json.loads((train.parent / "plan").read_text()))
    assert read == plan


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA,
        marked(SCHEMA, "Ada") + " ",
        marked(SCHEMA, "Ada").replace('"zone" type: BYTES', '"zone" type: INT'),
        marked(SCHEMA, "Ada").replace("Ada", "Bob").partition("\n")[2],
        "# shipway-review: {}\n" + SCHEMA,
        "# shipway-review: not json\n" + SCHEMA,
        "",
    ],
)
def test_a_schema_that_nobody_reviewed_or_that_was_changed_since_changes_nothing(
    train: Path, schema: str
) -> None:
    plan = fitted(train, schema)
    guessed = {"x": "number", "zone": "text_number", "room": "category", "number": "number"}
    assert kinds(plan) == guessed | {"remark": "category", "seen": "category_many"}


def test_a_mark_tells_who_and_when_and_marking_again_replaces_it() -> None:
    text = marked(marked(SCHEMA, "Ada"), "  Grace\n Hopper ")
    review = review_of(text)
    assert review is not None and review.valid and review.by == "Grace Hopper"
    assert text.count("shipway-review") == 1 and text.endswith(SCHEMA)
    with pytest.raises(ConfigurationError, match="--by is blank"):
        marked(SCHEMA, "\n")


def test_a_kind_that_there_is_not_is_refused() -> None:
    text = marked(SCHEMA.replace("=date", "=moment"), "Ada")
    with pytest.raises(ConfigurationError, match=r"'seen'.*moment.*the kinds are identifier"):
        reviewed_kinds(text)
    with pytest.raises(ConfigurationError, match="not a TFDV schema"):
        kinds_of("feature { name: }")
