"""Roll an InferenceService back to what stood before the candidate."""

import json

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.serving import ServingRecord


def roll_back_kserve(record: ServingRecord) -> None:
    """Apply the recorded object again; a first deployment is removed.

    Raises:
        EndpointError: the API refuses.
    """
    cluster = Cluster(record.namespace)
    if record.previous:
        cluster.apply(json.loads(record.previous))
    elif not record.champion or record.champion != record.version:
        cluster.delete(record.model_name)
