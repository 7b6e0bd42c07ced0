"""The last screen of a run: what came of it, why it stopped, and how to call the endpoint."""

import json
import re
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shipway.components.lib.decision import Decision
from shipway.pipelines.engine import Step
from shipway.pipelines.run import Run

LAST_LINES = 15
ERROR = re.compile(r"^shipway\.components\.lib\.errors\.\w+: (.*)", re.MULTILINE | re.DOTALL)


def show(run: Run, console: Console) -> None:
    """Print what came of a run."""
    console.print()
    for step in run.failed:
        _show_failure(step, console)
    for step in run.stopped_by:
        _show_gate(step, console)
    _show_warnings(run, console)
    _show_metrics(run, console)
    if run.reports:
        console.print(f"Reports   {run.folder / 'reports'}", soft_wrap=True)
    console.print(f"Logs      {run.folder / 'logs'}", soft_wrap=True)
    busy = sum(step.seconds for step in run.steps)
    console.print(f"Time      {run.seconds:.1f} s, of which steps {busy:.1f} s")
    if run.endpoint:
        console.print(f"Endpoint  [bold green]{run.endpoint}[/] answers. Try it:")
        console.print(curl_line(run), style="cyan", soft_wrap=True, highlight=False)
    elif not run.failed and not run.stopped_by:
        console.print("[bold red]No endpoint answers.[/] See the log of release-model.")


def message_of(log: Path) -> str:
    """The error that ended a step: its message when it is one of ours, else its last lines."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    found = ERROR.findall(text)
    if found:
        return str(found[-1]).split("\n\nThe step '")[0].strip()
    return "\n".join(text.rstrip().splitlines()[-LAST_LINES:])


def _show_failure(step: Step, console: Console) -> None:
    console.print(Text.assemble(("failed  ", "bold red"), (step.name, "bold")))
    console.print(Text(message_of(step.log)), soft_wrap=True)
    console.print(f"Whole log: {step.log}\n", style="dim", soft_wrap=True)


def _decision(step: Step) -> Decision | None:
    path = step.artifacts.get("decision")
    return Decision.load(path) if path else None


def _show_gate(step: Step, console: Console) -> None:
    console.print(
        Text.assemble((step.verdict.replace("_", " "), "bold red"), "  ", (step.name, "bold"))
    )
    decision = _decision(step)
    for rule in decision.failures if decision else []:
        console.print(Text(f"  {rule.sentence}"), soft_wrap=True)
    console.print()


def _show_warnings(run: Run, console: Console) -> None:
    for step in run.steps:
        decision = _decision(step)
        if decision is None or not decision.warnings:
            continue
        count = len(decision.warnings)
        first = decision.warnings[0].sentence
        more = f" (and {count - 1} more in its report)" if count > 1 else ""
        line = Text.assemble(("warning ", "yellow"), f"{step.name}: {first}{more}")
        console.print(line, soft_wrap=True)


def _show_metrics(run: Run, console: Console) -> None:
    path = run.artifact("evaluate-model", "evaluation")
    if path is None:
        return
    evaluation = json.loads(path.read_text(encoding="utf-8"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("test metric", min_width=18)
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, metric in evaluation["metrics"].items():
        low, high = metric.get("low"), metric.get("high")
        interval = f"{low:.4g} .. {high:.4g}" if low is not None and high is not None else ""
        table.add_row(name, f"{metric['value']:.4g}", interval)
    console.print(table)
    console.print()


def curl_line(run: Run) -> str:
    """A `curl` command that asks the endpoint for a row it was tested with."""
    model = run.artifact("train-model", "model")
    golden = json.loads((model / "golden.json").read_text()) if model else {"rows": [{}]}
    body = json.dumps({"instances": golden["rows"][:1]})
    url = f"{run.endpoint}/v1/models/{run.arguments['model_name']}:predict"
    return f"curl -s {url} -H 'content-type: application/json' -d {shlex.quote(body)}"
