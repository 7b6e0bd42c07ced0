"""`shipway schema`, as it is typed: TFDV runs for real, in the data image's environment."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from shipway.components.lib.errors import ConfigurationError, DataError, ShipwayError
from shipway.components.lib.schema_file import kinds_of, review_of
from shipway.pipelines.cli import cli

BAD = """feature { name: "a" type: INT drift_comparator { infinity_norm { threshold: 0.1 } } }
feature { name: "b" type: BYTES unique_constraints { min: 3 } domain: "c" }
feature { name: "b" type: INT int_domain { min: 3 max: 1 } }
"""


@pytest.fixture
def run(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    environments = repository / ".shipway" / "envs"
    environments.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".shipway").mkdir()
    (tmp_path / ".shipway" / "envs").symlink_to(environments)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["schema", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def write_table(path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = ["ticket,pickup_latitude,fare,day,colour,remark,seats,big"]
    for i in range(400):
        remark = " ".join(draw.choice(["late", "driver", "was", "very", "kind", "and", "left"], 9))
        fare = "" if i % 50 == 0 else f"{draw.gamma(4, 3):.2f}"
        day = f"2024-{1 + i % 12:02}-{1 + i % 28:02}"
        colour = ["red", "green", "blue"][i % 3]
        lines.append(
            f"t-{i},{41 + draw.random():.4f},{fare},{day},{colour},{i} {remark},"
            f"{draw.integers(1, 7)},{'yes' if i % 2 else 'no'}"
        )
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_a_schema_is_inferred_reviewed_and_compared(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    write_table(tmp_path / "trips.csv")
    said = run("infer", "trips.csv", "--label", "big").output
    assert "schema.pbtxt: the schema of 8 columns, from 400 rows." in said
    assert "ticket: is taken for an identifier: no feature of it" in said
    text = Path("schema.pbtxt").read_text()
    assert kinds_of(text) == {
        "ticket": "identifier",
        "pickup_latitude": "coordinates",
        "fare": "money",
        "day": "date",
        "colour": "category",
        "remark": "free text",
        "big": "category",
    }
    assert review_of(text) is None

    changed = text.replace('value: "red"', 'value: "pink"').replace("max: 90.0", "max: 42.0")
    Path("new.pbtxt").write_text(changed)
    same, other = (
        run("diff", "schema.pbtxt", "schema.pbtxt"),
        run("diff", "schema.pbtxt", "new.pbtxt"),
    )
    assert (same.exit_code, other.exit_code) == (0, 1)
    assert other.output.splitlines() == [
        "  pickup_latitude: largest value allowed: 90 before, 42 now",
        "  colour: values added: 'pink'",
        "  colour: values removed: 'red'",
    ]

    said = run("review", "new.pbtxt", "--by", "Ada").output
    assert "pickup_latitude: is taken for coordinates; must have a value in every row" in said
    review = review_of(Path("new.pbtxt").read_text())
    assert review is not None and review.valid and review.by == "Ada"
    assert run("diff", "schema.pbtxt", "new.pbtxt").output == other.output
    with pytest.raises(ConfigurationError, match="exists, and may have been edited"):
        run("infer", "trips.csv", "--label", "big")


def test_a_schema_that_would_not_do_what_it_says_gets_no_mark(run: Callable[..., Result]) -> None:
    Path("bad.pbtxt").write_text(BAD)
    with pytest.raises(ShipwayError) as refused:
        run("review", "bad.pbtxt", "--by", "Ada")
    message = str(refused.value)
    for part in (
        "Column 'a' is a number, and its drift_comparator has infinity_norm",
        "Column 'b' has unique_constraints from 3 to 0",
        "names the domain 'c'",
        "a range from 3 to 1",
        "'b' stands there 2 times",
    ):
        assert part in message
    assert Path("bad.pbtxt").read_text() == BAD


def test_what_is_not_there_is_named(run: Callable[..., Result]) -> None:
    with pytest.raises(ConfigurationError, match="no file 'nowhere.pbtxt'"):
        run("review", "nowhere.pbtxt", "--by", "Ada")
    with pytest.raises((ShipwayError, DataError), match=r"nowhere\.pbtxt"):
        run("diff", "nowhere.pbtxt", "nowhere.pbtxt")
