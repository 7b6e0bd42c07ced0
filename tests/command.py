"""`shipway` in the tests' own process: to import everything for each command takes seconds."""

import io
import os
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from shipway.pipelines.cli import main


def shipway(
    folder: Path, *words: str, environment: Mapping[str, str] = os.environ
) -> "CompletedProcess[str]":
    """Run the command to its end in a working directory."""
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        chdir(folder),
        mock.patch.object(sys, "argv", ["shipway", *words]),
        mock.patch.dict(os.environ, dict(environment), clear=True),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return CompletedProcess(words, status, out.getvalue(), errors.getvalue())
