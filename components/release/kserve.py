"""Roll an InferenceService back to what stood before the candidate."""

from shipway.components.lib.cluster import Cluster, restore
from shipway.components.lib.serving import ServingRecord


def roll_back_kserve(record: ServingRecord) -> None:
    """Apply the recorded object again; a first deployment is removed.

    Raises:
        EndpointError: the API refuses.
    """
    if record.champion != record.version:
        restore(Cluster(record.namespace), record.model_name, record.previous)
