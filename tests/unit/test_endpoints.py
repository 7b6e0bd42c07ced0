"""Which endpoints a working directory knows: its own, and those of stores that its runs named."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from shipway.components.lib.files import write_json_aside
from shipway.components.lib.serving_record import LIVE, ServingRecord, record_path
from shipway.pipelines.cli import cli
from shipway.pipelines.endpoints import Place, find_places


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an endpoint of its own, and one in a store that a run named."""
    monkeypatch.chdir(tmp_path)
    for place, name in ((".shipway", "own"), ("elsewhere", "run"), ("elsewhere", "of-others")):
        record = ServingRecord("local", name, "1", "digest", "http://127.0.0.1:9", port=9)
        record.save(record_path(tmp_path / place / "serving", name, LIVE))
    runs = {
        "1": {"serving_target": "local", "model_store": "/gone/models", "model_name": "run"},
        "2": {"serving_target": "local", "model_name": "run"}
        | {"model_store": (tmp_path / "elsewhere" / "models").as_uri()},
        "3": {"serving_target": "kserve", "model_store": "gs://b/models", "model_name": "run"},
        "4": {"data_uri": "a run of another pipeline"},
    }
    for name, arguments in runs.items():
        path = tmp_path / ".shipway" / "runs" / name / "run.json"
        path.parent.mkdir(parents=True)
        write_json_aside(path, {"arguments": arguments})
    return tmp_path


def test_an_endpoint_beside_a_store_elsewhere_is_known_and_others_there_are_not(folder: Path):
    known = [Place(folder / ".shipway" / "serving", "own")]
    known += [Place(folder / "elsewhere" / "serving", "run")]
    assert sorted(find_places(folder / ".shipway")) == sorted(known)
    status = CliRunner().invoke(cli, ["status"])
    assert status.exit_code == 1  # none of them answers
    assert {line.split()[0] for line in status.output.splitlines()} == {"own", "run"}


@pytest.mark.parametrize(
    ("words", "stopped"), [(["run"], {"run"}), ([], {"own", "run"})], ids=["one", "all"]
)
def test_stop_forgets_what_it_is_told_to_wherever_it_lies(folder: Path, words, stopped):
    before = {path.parent.name for path in folder.rglob("live.json")}
    result = CliRunner().invoke(cli, ["stop", *words])
    assert result.exit_code == 0
    assert {line.split("'")[1] for line in result.output.splitlines()} == stopped
    assert {path.parent.name for path in folder.rglob("live.json")} == before - stopped
