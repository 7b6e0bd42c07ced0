"""Alerts and dashboard: they parse, and ask for what the server really exports."""

import json

import promql_parser
import pytest
import yaml

from tests.manifests.conftest import MANIFESTS, one

# Prometheus' own, of each target.
OF_PROMETHEUS = {"up"}
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


@pytest.fixture(scope="module")
def exported(server) -> set[str]:
    """The names of the samples that the server exports once it has answered."""
    assert server.post("/v1/models/churn:predict", json={"instances": []}).status_code < 500
    lines = server.get("/metrics").text.splitlines()
    return {line.split("{")[0].split(" ")[0] for line in lines if line and line[0] != "#"}


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


def test_every_label_that_a_histogram_is_split_by_is_there(server):
    line = next(x for x in server.get("/metrics").text.splitlines() if "seconds_bucket{" in x)
    assert 'model_name="churn"' in line
    assert 'le="' in line


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
