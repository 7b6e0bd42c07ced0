"""Which model answers at an endpoint: the header of its replies says so."""

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from shipway.components.lib.serving_record import ServingRecord

DIGEST_HEADER = "x-shipway-model-digest"


def answering_digest(record: ServingRecord) -> str:
    """The digest of the model that says it is ready at a record's URL; empty for none."""
    url = f"{record.endpoint}/v2/models/{record.model_name}/ready"
    # A proxy of the environment leads to a cluster, never to this machine.
    opener = build_opener(ProxyHandler({})) if record.target == "local" else build_opener()
    try:
        with opener.open(url, timeout=5) as response:
            return str(response.headers.get(DIGEST_HEADER, ""))
    except (URLError, OSError):
        return ""


def is_answering(record: ServingRecord) -> bool:
    """Whether the very model of a record is ready at its URL."""
    return answering_digest(record) == record.digest
