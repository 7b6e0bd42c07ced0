"""Load by wrk and h2load: how many requests a server answers in a time, and how fast."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

HOW = {
    "wrk": "apt-get install wrk (or brew install wrk)",
    "h2load": "apt-get install nghttp2-client (or brew install nghttp2)",
}
SCRIPT = """
local file = io.open("%s", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
%s
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{"requests":%%d,"microseconds":%%d,"failed":%%d,"p50":%%d,"p99":%%d}\\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What came of a time under load.

    Attributes:
        requests: answered.
        failed: of them, or beside them.
        seconds: that it took.
        p50: microseconds.
        p99: microseconds.
    """

    requests: int
    failed: int
    seconds: float
    p50: float
    p99: float


def check_tools() -> None:
    """Refuse to begin without the load generators."""
    for tool, how in HOW.items():
        if shutil.which(tool) is None:
            raise click.ClickException(f"'{tool}' makes the load and is not installed: {how}.")


def run_wrk(
    url: str, body: bytes, headers: dict[str, str], connections: int, seconds: float, folder: Path
) -> Load:
    """POST a body again and again over HTTP/1.1, from one thread."""
    content, script = folder / "body", folder / "load.lua"
    content.write_bytes(body)
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text(SCRIPT % (content, "\n".join(lines)))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s"]
    output = _run([*command, "--latency", "-s", str(script), url])
    found = json.loads(output.strip().splitlines()[-1])
    return Load(
        found["requests"],
        found["failed"],
        found["microseconds"] / 1e6,
        found["p50"],
        found["p99"],
    )


def run_h2load(url: str, body: bytes, connections: int, seconds: float, folder: Path) -> Load:
    """Send a gRPC frame again and again, one at a time on each connection."""
    content, log = folder / "frame", folder / "h2load.log"
    content.write_bytes(body)
    log.unlink(missing_ok=True)
    command = ["h2load", "-t1", f"-c{connections}", "-m1", f"-D{max(1, round(seconds))}"]
    for header in ("content-type: application/grpc", "te: trailers"):
        command += ["-H", header]
    output = _run([*command, f"--log-file={log}", "-d", str(content), url])
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    took = re.search(r"finished in ([\d.]+)(m?s)", output)
    if counts is None or took is None:
        raise click.ClickException(f"h2load said nothing of use:\n{output}")
    done, *failed = map(int, counts.groups())
    spent = np.loadtxt(log, usecols=2, ndmin=1)
    p50, p99 = np.percentile(spent, [50, 99]) if len(spent) else (np.nan, np.nan)
    seconds = float(took[1]) / (1000 if took[2] == "ms" else 1)
    return Load(done, sum(failed), seconds, float(p50), float(p99))


def _run(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if finished.returncode:
        raise click.ClickException(f"{command[0]} failed: {finished.stdout}{finished.stderr}")
    return finished.stdout
