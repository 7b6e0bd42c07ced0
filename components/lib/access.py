"""What the deployer must be allowed to do, asked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import ConfigurationError

KNATIVE, STANDARD = "Knative", "Standard"


@dataclass(frozen=True)
class AccessRule:
    """One rule of a Role.

    Attributes:
        group: API group; empty for the core one.
        resource: plural, with its subresource.
        verbs: what is done with it.
        why: what the deployer does by it.
        mode: deployment mode that needs it; empty for both.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    mode: str = ""

    def as_yaml(self, verbs: list[str]) -> str:
        """The rule as it stands in a Role, with some of its verbs."""
        return (
            f'- {{apiGroups: ["{self.group}"], resources: ["{self.resource}"], '
            f"verbs: [{', '.join(verbs)}]}}  # {self.why}"
        )


RULES = (
    AccessRule(
        "serving.kserve.io",
        "inferenceservices",
        ("get", "create", "patch", "delete"),
        "deploys, promotes and rolls back",
    ),
    AccessRule("serving.knative.dev", "revisions", ("get",), "tells which model is ready", KNATIVE),
    AccessRule("apps", "deployments", ("get",), "tells which model is ready", STANDARD),
    AccessRule(
        "gateway.networking.k8s.io", "httproutes", ("get",), "tells what gets traffic", STANDARD
    ),
    AccessRule("", "pods", ("list",), "tells why a server does not start"),
    AccessRule("", "pods/log", ("get",), "tells why a server does not start"),
)


# What a training step does that has several workers.
TRAINING = (
    AccessRule(
        "trainer.kubeflow.org",
        "trainjobs",
        ("get", "create", "patch", "delete"),
        "trains with several workers",
    ),
    AccessRule("", "pods", ("get", "list"), "gives workers what the step has; tells why they fail"),
    AccessRule("", "pods/log", ("get",), "tells why workers fail"),
)


# What a tuning step does whose trials run as pods.
TUNING = (
    AccessRule(
        "kubeflow.org", "experiments", ("get", "create", "patch", "delete"), "searches with Katib"
    ),
    AccessRule("kubeflow.org", "trials", ("list",), "tells what was tried"),
    AccessRule("", "pods", ("get",), "gives trials what the step has"),
)


def check_access(cluster: Cluster, mode: str) -> None:
    """Ask the API about every rule that a deployment mode needs.

    Raises:
        ConfigurationError: something is not allowed; the message holds the missing rules.
        EndpointError: the API cannot be asked.
    """
    _check(cluster, [rule for rule in RULES if rule.mode in ("", mode)], "manifests/base")


def check_training_access(cluster: Cluster) -> None:
    """As `check_access`, for a training with several workers."""
    _check(cluster, TRAINING, "manifests/components/training")


def check_tuning_access(cluster: Cluster) -> None:
    """As `check_access`, for a tuning with Katib."""
    _check(cluster, TUNING, "manifests/components/tuning")


def _check(cluster: Cluster, rules: Sequence[AccessRule], manifest: str) -> None:
    missing = []
    for rule in rules:
        denied = [v for v in rule.verbs if not cluster.may(v, rule.group, rule.resource)]
        missing += [rule.as_yaml(denied)] if denied else []
    if missing:
        lines = "\n".join(missing)
        raise ConfigurationError(
            f"The pipeline's service account lacks rights in namespace '{cluster.namespace}'. Add "
            f"these rules to its Role, or apply {manifest}, which has them:\n{lines}"
        )
