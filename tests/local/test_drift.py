"""The pipeline of the catalogue: two tables ingested and compared, as a user would run it."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from shipway.pipelines.run import start
from shipway.pipelines.specs import load_compiled


@pytest.mark.slow
def test_two_tables_are_compared_by_a_pipeline_of_ones_own(
    shell, repository: Path, tmp_path: Path, make_table
) -> None:
    catalogue = (repository / "components" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", catalogue, re.DOTALL)
    (tmp_path / "drift.py").write_text(code)
    subprocess.run([sys.executable, "drift.py"], check=True, cwd=tmp_path)
    tables = {
        name: make_table(
            f"{name}.csv",
            "fare,city,late\n"
            + "".join(f"{(i * 7919) % 100 + more},c{i % 3},{i % 2}\n" for i in range(600)),
        )
        for name, more in (("baseline_uri", 0), ("current_uri", 40))
    }
    given = {name: str(path) for name, path in tables.items()} | {"label": "late"}
    console = Console(file=io.StringIO())
    run = start(load_compiled(str(tmp_path / "drift.yaml")), given, shell.state, console)
    assert run.failed == []
    decision = json.loads(run.artifact("detect-drift", "decision").read_text())
    assert decision["verdict"] == "fail"
    found = {rule["slice"]: rule["name"] for rule in decision["rules"] if rule["verdict"] == "fail"}
    assert found == {"fare": "column_drift", "": "multivariate_drift"}
    assert "fare" in run.artifact("detect-drift", "report").read_text()
