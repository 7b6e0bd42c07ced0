import json
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.components.lib.files import aside, sha256_of, write_json_aside, write_text_aside


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    write_text_aside(path, "old")
    with pytest.raises(RuntimeError), aside(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.txt"]


def test_a_directory_replaces_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "table"
    for content in ("one", "two"):
        with aside(path) as draft:
            draft.mkdir()
            (draft / content).write_text(content)
    assert [entry.name for entry in path.iterdir()] == ["two"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["table"]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    path = tmp_path / "table"
    code = (
        "import os, sys, pathlib\n"
        "from shipway.components.lib.files import aside\n"
        "with aside(pathlib.Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half')\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1  # its draft, hidden
    (tmp_path / ".other.partial").touch()
    write_text_aside(path, "whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {"table", ".other.partial"}


def test_a_draft_of_a_writer_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with aside(path) as first:
        first.write_text("first")
        write_text_aside(path, "second")
    assert path.read_text() == "first"


def test_json_is_ascii_sorted_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json_aside(path, {"b": "zürich", "a": 1})
    assert path.read_text().isascii()
    assert list(json.loads(path.read_text())) == ["a", "b"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_aside(path, {"a": float("nan")})
    assert json.loads(path.read_text())["b"] == "zürich"


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
