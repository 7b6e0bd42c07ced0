"""What Katib does to an Experiment: suggestions, trials that really run, and its status.

After katib's `validator.go` (what its webhook refuses), `experiment_controller.go` and
`status_util.go`. A trial is a process of this machine, with the template's command.
"""

import copy
import json
import random
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
LABEL = "katib.kubeflow.org/experiment"
LINE = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)\s*$")
PLACE = re.compile(r"\$\{trialParameters\.([^}]+)\}")


def webhook(body: Object) -> list[str]:
    """What Katib's webhook says against an Experiment."""
    spec = body["spec"]
    template, wrong = spec["trialTemplate"], []
    names = [one["name"] for one in spec["parameters"]]
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", body["metadata"]["name"]):
        wrong.append("the name must begin with a letter")
    if not 0 < spec["parallelTrialCount"] <= spec["maxTrialCount"]:
        wrong.append("parallelTrialCount must lie between 1 and maxTrialCount")
    if not 0 <= spec["maxFailedTrialCount"] <= spec["maxTrialCount"]:
        wrong.append("maxFailedTrialCount must lie between 0 and maxTrialCount")
    if spec["objective"]["objectiveMetricName"] in spec["objective"]["additionalMetricNames"]:
        wrong.append("additionalMetricNames must not hold the objective")
    told = {one["name"]: one["reference"] for one in template["trialParameters"]}
    if sorted(told.values()) != sorted(names) or len(told) != len(template["trialParameters"]):
        wrong.append("trialParameters must refer to each parameter once")
    if set(PLACE.findall(json.dumps(template["trialSpec"]))) != set(told):
        wrong.append("trialSpec must hold each of trialParameters, and no other")
    if template["trialSpec"].get("metadata", {}).keys() & {"name", "namespace"}:
        wrong.append("trialSpec must have no name")
    for one in spec["parameters"]:
        low, high = (float(one["feasibleSpace"][end]) for end in ("min", "max"))
        if not low < high or (one["parameterType"] == "int" and low % 1 + high % 1):
            wrong.append(f"the feasible space of {one['name']} is empty")
    return wrong


@dataclass
class Katib:
    """Runs the trials of each Experiment that is applied.

    Attributes:
        api: the Kubernetes API.
        environment: of the trials.
        break_trials: whether every trial's command fails.
        ran: what trials were started with.
    """

    api: Any
    environment: dict[str, str]
    break_trials: bool = False
    ran: list[list[str]] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def on_seen(self, obj: Object) -> None:
        """Called by the API for each object that it reads or writes."""
        fresh = obj.get("applied") and "status" not in obj
        if obj.get("kind") == "Experiment" and fresh:
            name = obj["metadata"]["name"]
            key = next(k for k in self.api.objects if (k[0], k[2]) == ("experiments", name))
            self.api.objects[key]["status"] = {"conditions": []}
            thread = threading.Thread(target=self._run, args=(key, copy.deepcopy(obj)), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _run(self, key: tuple[str, str, str], experiment: Object) -> None:
        spec, draw = experiment["spec"], random.Random(0)
        trials: list[Object] = []
        for number in range(spec["maxTrialCount"]):
            assigned = [
                {"name": one["name"], "value": self._suggestion(one, draw)}
                for one in spec["parameters"]
            ]
            trial = self._trial(experiment, f"{key[2]}-{number}", assigned)
            if key not in self.api.objects:  # deleted
                return
            trials.append(trial)
            self.api.objects["trials", key[1], trial["metadata"]["name"]] = trial
            failed = [one for one in trials if "observation" not in one["status"]]
            ended = len(failed) > spec["maxFailedTrialCount"]
            self._tell(key, trials, "Failed" if ended else "Running")
            if ended:
                return
        self._tell(key, trials, "Succeeded")

    def _tell(self, key: tuple[str, str, str], trials: list[Object], state: str) -> None:
        status: Object = {"trials": len(trials), "conditions": []}
        status["conditions"] = [
            {"type": "Created", "status": "True"},
            {"type": state, "status": "True", "message": "Experiment is what it is"},
        ]
        done = [one for one in trials if "observation" in one["status"]]
        if done:
            best = min(
                done, key=lambda one: float(one["status"]["observation"]["metrics"][0]["min"])
            )
            status["currentOptimalTrial"] = {
                "bestTrialName": best["metadata"]["name"],
                "parameterAssignments": best["spec"]["parameterAssignments"],
                "observation": best["status"]["observation"],
            }
        if key in self.api.objects:
            self.api.objects[key]["status"] = status

    def _suggestion(self, parameter: Object, draw: random.Random) -> str:
        space = parameter["feasibleSpace"]
        low, high = float(space["min"]), float(space["max"])
        if parameter["parameterType"] == "int":
            return str(draw.randint(int(low), int(high)))
        if space.get("distribution") == "logUniform":
            return str(low * (high / low) ** draw.random())
        return str(draw.uniform(low, high))

    def _trial(self, experiment: Object, name: str, assigned: list[Object]) -> Object:
        values = {one["name"]: one["value"] for one in assigned}
        template = experiment["spec"]["trialTemplate"]
        (container,) = template["trialSpec"]["spec"]["template"]["spec"]["containers"]
        command = [sys.executable, *container["command"][1:]]
        command += [PLACE.sub(lambda m: values[m[1]], text) for text in container["args"]]
        self.ran.append(command)
        environment = {one["name"]: one["value"] for one in container["env"]}
        if self.break_trials:
            command = [sys.executable, "-c", "raise SystemExit(1)"]
        ended = subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, check=False
        )
        # Both streams go to the file that the collector reads.
        found = dict(
            m.groups() for m in map(LINE.match, (ended.stdout + ended.stderr).splitlines()) if m
        )
        wanted = experiment["spec"]["objective"]
        names = [wanted["objectiveMetricName"], *wanted["additionalMetricNames"]]
        status: Object = {"conditions": [{"type": "Failed", "status": "True"}]}
        if ended.returncode == 0:
            metrics = [
                {"name": n, "latest": found[n], "min": found[n], "max": found[n]} for n in names
            ]
            status = {
                "conditions": [{"type": "Succeeded", "status": "True"}],
                "observation": {"metrics": metrics},
            }
        labels = {LABEL: experiment["metadata"]["name"]}
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {"parameterAssignments": assigned},
            "status": status,
        }
