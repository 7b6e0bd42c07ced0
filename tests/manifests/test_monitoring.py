"""Alerts and dashboard: they parse, and ask for what the server really exports."""

import json
import re

import promql_parser
import pytest
import yaml

from tests.manifests.conftest import MANIFESTS, one
from tests.serving.servers import Served, run_server
from tests.serving.trips import train_model

# Prometheus' own, of each target.
OF_PROMETHEUS = {"up"}
OF_THE_TARGET = {"namespace", "job", "pod", "app"}
RULES = [
    rule
    for name in ("monitoring", "canary")
    for group in yaml.safe_load((MANIFESTS / f"components/{name}/alerts.yaml").read_text())["spec"][
        "groups"
    ]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD = json.loads((MANIFESTS / "components/monitoring/dashboard.json").read_text())
PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule.get("alert") or rule["record"]) for rule in RULES),
    *PANELS,
]


def metrics_of(expression: str) -> set[str]:
    """The series that an expression asks for.

    Raises:
        ValueError: it is no PromQL.
    """
    found = set()

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def samples_of(served: Served) -> list[str]:
    assert served.post("/v1/models/churn:predict", json={"instances": []}).status_code < 500
    return [line for line in served.get("/metrics").text.splitlines() if line and line[0] != "#"]


@pytest.fixture(scope="module")
def exported(server, tmp_path_factory) -> set[str]:
    """The names of what servers of a class and of a number export once they have answered."""
    package = train_model("regression", tmp_path_factory.mktemp("model") / "package").path
    with run_server(package, "--model_name", "churn") as other:
        lines = samples_of(server) + samples_of(other)
    return {line.split("{")[0].split(" ")[0] for line in lines}


@pytest.fixture(scope="module")
def labels_of(server) -> dict[str, set[str]]:
    """The labels of each metric."""
    found: dict[str, set[str]] = {}
    for line in samples_of(server):
        name, _, rest = line.partition("{")
        if rest:
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    return found


def test_an_expression_that_is_none_does_not_parse():
    with pytest.raises(ValueError, match="parenthesis"):
        metrics_of("sum by (app (rate(up[5m]))")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_is_exported(exported, expression):
    asked = metrics_of(expression)
    assert asked
    assert asked - exported - RECORDED - OF_PROMETHEUS == set()


def test_a_metric_that_is_not_exported_would_be_found(exported):
    assert "request_predict_seconds_count" in exported
    assert metrics_of("rate(request_errors_total[5m])") - exported == {"request_errors_total"}


def labels_asked(expression: str) -> dict[str, set[str]]:
    """The labels that an expression selects each series by."""
    found: dict[str, set[str]] = {}

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            names = {matcher.name for matcher in node.matchers.matchers}
            found.setdefault(node.name, set()).update(names)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_series_is_selected_by_labels_that_it_has(labels_of, expression):
    for name, labels in labels_asked(expression).items():
        if name.startswith("shipway_") and name in labels_of:
            assert labels - OF_THE_TARGET <= labels_of[name]


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("shipway_request_seconds_bucket", {"model_name", "stage", "le"}),
        ("request_predict_seconds_bucket", {"model_name", "le"}),
        ("shipway_requests_total", {"model_name", "path", "status"}),
        ("shipway_unknown_categories_total", {"model_name", "column"}),
    ],
)
def test_every_label_that_a_metric_is_split_by_is_there(labels_of, metric, labels):
    assert labels_of[metric] == labels


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_and_what_to_do(alert):
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description"} <= set(alert["annotations"])


def test_alerts_of_limits_stand_at_the_runtimes_limits(prod):
    (container,) = one(prod, "ServingRuntime")["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    by_name = {alert["alert"]: alert["expr"] for alert in ALERTS}
    assert str(2 * 1024**3) in by_name["ShipwayPredictorMemoryHigh"]
    assert by_name["ShipwayPredictorBusy"].endswith("> 0.9")


def test_the_servers_are_found_by_the_name_of_their_monitor(prod):
    name = one(prod, "PodMonitor")["metadata"]["name"]
    for expression in [rule["expr"] for rule in RULES] + [panel.values[0] for panel in PANELS]:
        if "job=" in expression:
            assert f'job=~".+/{name}"' in expression


def test_the_monitor_reads_where_the_server_listens_and_no_one_reads_twice(prod):
    (endpoint,) = one(prod, "PodMonitor")["spec"]["podMetricsEndpoints"]
    runtime = one(prod, "ServingRuntime")["spec"]
    assert endpoint["portNumber"] == runtime["containers"][0]["ports"][0]["containerPort"]
    assert "prometheus.io/scrape" not in runtime["annotations"]


def test_grafana_gets_the_dashboard_as_it_stands(prod):
    config = one(prod, "ConfigMap", "shipway-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = config["data"].values()
    assert json.loads(text) == DASHBOARD
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
