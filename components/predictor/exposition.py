"""The server's metrics as Prometheus reads them, on the `/metrics` of KServe's application."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from shipway.components.predictor.metrics import Histogram, Metrics

if TYPE_CHECKING:
    from shipway.components.predictor.payload_log import PayloadLog

OF_THE_SDK = "request_predict_seconds"


class Exposition(Collector):
    """Gives the counts to Prometheus; every sample says which model they are of."""

    def __init__(self, metrics: Metrics, payloads: "PayloadLog | None" = None) -> None:
        """Read these counts whenever they are asked for."""
        self._metrics = metrics
        self._payloads = payloads
        self._model = metrics.engine.name

    def collect(self) -> Iterator[Metric]:
        """All samples."""
        metrics, engine = self._metrics, self._metrics.engine
        metrics.fold()
        about = {"version": engine.version, "digest": engine.digest, "task": engine.task}
        yield self._gauge("model_info", "The model that answers.", about, 1)
        yield self._gauge("requests_in_flight", "Requests not yet answered.", {}, metrics.in_flight)
        yield self._requests()
        yield self._counters("rows", "Rows that were asked about.", "", {"": metrics.rows})
        for name, text, label, counts in (
            ("errors", "Requests refused or failed, by cause.", "cause", metrics.causes),
            ("predicted_labels", "Answers by class.", "label", self._labels()),
            ("unknown_categories", "Categories not in training.", "column", metrics.unknown),
            (
                "missing_values",
                "Cells that were null.",
                "column",
                self._by_column(metrics.missing.tolist()),
            ),
            (
                "out_of_range_values",
                "Numbers below or above those of training.",
                "column",
                self._by_column(metrics.outside.tolist()),
            ),
        ):
            yield self._counters(name, text, label, counts)
        yield from self._histograms()
        if self._payloads is not None:
            yield self._counters(
                "payload_records",
                "Records of the payload log: written, or dropped as queue or disk was full.",
                "outcome",
                self._payloads.counts(),
            )

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "shipway_requests",
            "Requests by kind and status.",
            labels=["model_name", "path", "status"],
        )
        for (kind, status), count in list(self._metrics.requests.items()):
            family.add_metric([self._model, kind, str(status)], count)
        return family

    def _histograms(self) -> Iterator[Metric]:
        metrics = self._metrics
        seconds = HistogramMetricFamily(
            "shipway_request_seconds",
            "Time of a prediction by stage: from the body's last byte to the answer's first.",
            labels=["model_name", "stage"],
        )
        for stage in ("read", "score", "answer", "total"):
            _add(seconds, [self._model, stage], getattr(metrics, stage))
        yield seconds
        same = HistogramMetricFamily(OF_THE_SDK, "predict request latency", labels=["model_name"])
        _add(same, [self._model], metrics.total)
        yield same
        if metrics.predictions is not None:
            binary = metrics.engine.task == "binary"
            family = HistogramMetricFamily(
                "shipway_predicted_probability" if binary else "shipway_predicted_value",
                "Answers: the probability of the positive class." if binary else "Answers.",
                labels=["model_name"],
            )
            _add(family, [self._model], metrics.predictions)
            yield family

    def _labels(self) -> dict[str, int]:
        return dict(zip(self._metrics.engine.classes, self._metrics.labels.tolist(), strict=True))

    def _by_column(self, counts: Iterable[int]) -> dict[str, int]:
        return dict(zip(self._metrics.columns, counts, strict=True))

    def _gauge(self, name: str, text: str, labels: Mapping[str, str], value: float) -> Metric:
        family = GaugeMetricFamily(f"shipway_{name}", text, labels=["model_name", *labels])
        family.add_metric([self._model, *labels.values()], value)
        return family

    def _counters(self, name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
        labels = ["model_name", label] if label else ["model_name"]
        family = CounterMetricFamily(f"shipway_{name}", text, labels=labels)
        for value, count in list(counts.items()):
            family.add_metric([self._model, value][: len(labels)], count)
        return family


def expose(metrics: Metrics, payloads: "PayloadLog | None" = None) -> None:
    """Have these counts stand on `/metrics`, in place of the SDK's histogram of predictions."""
    from kserve.metrics import PREDICT_HIST_TIME

    REGISTRY.unregister(PREDICT_HIST_TIME)  # its name comes from our counts, which cost less
    REGISTRY.register(Exposition(metrics, payloads))


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    names = [*map(str, histogram.bounds.tolist()), "+Inf"]
    buckets = list(zip(names, histogram.counts.cumsum().tolist(), strict=True))
    family.add_metric(labels, buckets, sum_value=histogram.sum)
