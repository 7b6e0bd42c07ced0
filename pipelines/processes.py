"""Steps as processes: each task's unmodified command, in the environment of its image."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from shipway.pipelines.engine import Engine, Observer, Step, end_group


class ProcessEngine(Engine):
    """Runs each task in the virtual environment that stands for its image."""

    def __init__(
        self,
        environments: Mapping[str, Path],
        folder: Path,
        steps: Sequence[Step],
        observer: Observer,
    ) -> None:
        """Make an engine for one run.

        Args:
            environments: virtual environment by image reference.
            folder: the run's folder.
            steps: the steps of the run.
            observer: told of each step's beginning and end.
        """
        super().__init__(environments, folder, steps, observer)
        self._environments = environments

    def _execute(
        self, image: str, command: Sequence[str], variables: dict[str, str], log: IO[bytes]
    ) -> int:
        # KFP's command leaves a temporary folder behind: each step gets a place that goes with it.
        with tempfile.TemporaryDirectory(prefix="shipway-", ignore_cleanup_errors=True) as scratch:
            process = subprocess.Popen(
                command,
                env={**self._inherited(image), **variables, "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait()
            except BaseException:
                end_group(process.pid)
                process.wait()
                raise

    def _inherited(self, image: str) -> dict[str, str]:
        variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # A run that was cut off is followed by one with other outputs.
        variables.setdefault("SHIPWAY_CHECKPOINTS", str(self.folder.parents[1] / "checkpoints"))
        variables["PATH"] = f"{self._environments[image]}/bin:{os.environ['PATH']}"
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            variables.pop(name, None)
        return variables
