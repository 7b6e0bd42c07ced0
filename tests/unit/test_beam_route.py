"""Statistics by Beam agree with the streamed ones, on its own runner and on a portable one."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.tables import write_table
from shipway.components.validate.beam_route import (
    Places,
    pipeline_arguments,
    reachable,
    runner_of,
)

ROWS = 150_000
DRIVER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from shipway.components.validate.beam_route import Places, measure_with_beam
from shipway.components.validate.facts import column_facts
from shipway.components.validate.statistics import measure

path, runs, out = Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
seen = {}
for name, case in runs.items():
    if case["args"]:
        profile = measure_with_beam(Places(path), case["args"], sample_rows=case["sample"])
    else:
        profile = measure(path, sample_rows=case["sample"])
    (dataset,) = profile.statistics.datasets
    seen[name] = {
        "rows": dataset.num_examples,
        "facts": {fact.name: asdict(fact) for fact in column_facts(profile, path)},
        "types": {feature.path.step[0]: feature.type for feature in dataset.features},
        "texts": {name: asdict(one) for name, one in profile.notes.text_numbers.items()},
        "infinities": dict(profile.notes.infinities),
        "route": profile.route,
    }
out.write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    mixed = [str(i % 7) for i in range(ROWS)]
    mixed[70_000] = "n/a"
    columns = {
        "number": pa.array(draw.normal(size=ROWS), mask=draw.random(ROWS) < 0.1),
        "whole": draw.integers(0, 9, ROWS),
        "infinite": np.where(draw.random(ROWS) < 0.01, np.inf, draw.random(ROWS)),
        "few": draw.choice(["a", "b", "c"], ROWS),
        "many": [f"v{i}" for i in draw.integers(0, 5_000, ROWS)],
        "mixed": mixed,
        "flag": draw.random(ROWS) < 0.5,
        "at": pa.array(np.arange(ROWS) * 1_000, pa.timestamp("ms")),
        "label": draw.choice(["no", "yes"], ROWS),
    }
    path = tmp_path_factory.mktemp("beam") / "table"
    write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def job_service(data_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Beam's own job service on loopback: what a cluster has in its place."""
    folder = tmp_path_factory.mktemp("jobs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main = "apache_beam.runners.portability.local_job_service_main"
    command = [str(data_python), "-m", main, "--port", str(port), "--staging_dir", str(folder)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def measured(
    table: Path, job_service: str, drive, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("measured")
    portable = ["--runner=PortableRunner", f"--job_endpoint={job_service}"]
    runs = {
        "stream": {"args": [], "sample": 0},
        "direct": {"args": ["--runner=DirectRunner"], "sample": 0},
        "portable": {"args": [*portable, "--environment_type=LOOPBACK"], "sample": 0},
        "sampled stream": {"args": [], "sample": 7_000},
        "sampled direct": {"args": ["--runner=FnApiRunner"], "sample": 7_000},
    }
    seen, said = drive(folder, DRIVER, table, json.dumps(runs))
    assert "prism" not in said.lower()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by_beam", "streamed"),
    [("direct", "stream"), ("portable", "stream"), ("sampled direct", "sampled stream")],
)
def test_beam_tells_what_the_stream_tells(
    measured: dict[str, Any], by_beam: str, streamed: str
) -> None:
    one, other = measured[by_beam], measured[streamed]
    assert one["rows"] == other["rows"] == (7_000 if "sampled" in streamed else ROWS)
    assert one["types"] == other["types"]
    assert one["texts"] == other["texts"] and one["infinities"] == other["infinities"]
    for name, fact in other["facts"].items():
        for key in ("missing", "minimum", "maximum", "mean", "deviation", "distinct"):
            expected = fact[key] if fact[key] is None else pytest.approx(fact[key], rel=1e-9)
            assert one["facts"][name][key] == expected, (name, key)
    assert one["facts"]["few"]["top"] == other["facts"]["few"]["top"]


@pytest.mark.slow
def test_a_row_is_told_by_its_number_in_the_table_by_every_route(measured: dict[str, Any]) -> None:
    for route in ("stream", "direct", "portable"):
        mixed = measured[route]["texts"]["mixed"]
        assert (mixed["first_row"], mixed["first_value"]) == (70_001, "n/a")
    assert "Apache Beam on PortableRunner" in measured["portable"]["route"]
    assert "streamed" in measured["stream"]["route"]


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        (["--runner=DirectRunner"], ["--runner=FnApiRunner"]),
        (
            ["--direct_num_workers=2", "--runner=FnApiRunner"],
            [
                "--runner=FnApiRunner",
                "--direct_num_workers=2",
                "--direct_running_mode=multi_processing",
            ],
        ),
        (["--runner=FlinkRunner", "--flink_master=f:8081"], None),
        (["--runner=apache_beam.runners.DirectRunner"], ["--runner=FnApiRunner"]),
        (["--runner=PrismRunner", "--prism_location=/opt/prism"], None),
    ],
)
def test_arguments_never_lead_to_a_download(given: list[str], handed_on: list[str] | None) -> None:
    assert pipeline_arguments(given) == (given if handed_on is None else handed_on)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--project=p"], "name no runner"),
        (["--runner="], "name no runner"),
        (["--runner=PrismRunner"], "downloads a program"),
        (["--runner=PrismRunner", "--prism_location=https://x/y"], "downloads a program"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        runner_of(given)


def test_workers_elsewhere_read_from_the_bucket_or_are_refused() -> None:
    here = Path("/data/table")
    places = Places(here, "gs://b/run/dataset", "gs://b/run/statistics.beam")
    assert reachable(places, "FnApiRunner", []) == ("/data/table", "")
    loopback = ["--environment_type=LOOPBACK"]
    assert reachable(places, "PortableRunner", loopback) == ("/data/table", "")
    bucket = ("gs://b/run/dataset", "gs://b/run/statistics.beam")
    assert reachable(places, "DataflowRunner", []) == bucket
    with pytest.raises(ConfigurationError, match=r"FlinkRunner cannot read .*minio://"):
        reachable(Places(here, "minio://b/x", "minio://b/y"), "FlinkRunner", [])
    with pytest.raises(ConfigurationError, match="DataflowRunner cannot read"):
        reachable(Places(here), "DataflowRunner", [])
