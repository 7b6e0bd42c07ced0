"""Hand-over to MLflow, by its REST API 2.0: a model version with tags."""

import httpx

from shipway.components.register.entry import DIGEST, Entry, json_of

PATH = "/api/2.0/mlflow/"


def tell(client: httpx.Client, entry: Entry) -> None:
    """Make the model and the version, unless they stand; MLflow numbers versions by itself."""
    made = client.post("registered-models/create", json={"name": entry.name})
    if not (made.status_code == 400 and "RESOURCE_ALREADY_EXISTS" in made.text):
        json_of(made)
    wanted = f"name = '{entry.name}' and tags.`{DIGEST}` = '{entry.digest}'"
    found = json_of(client.get("model-versions/search", params={"filter": wanted}))
    if found.get("model_versions"):
        return
    tags = entry.facts | {f"metrics.{name}": str(value) for name, value in entry.metrics.items()}
    version = {
        "name": entry.name,
        "source": entry.uri,
        "description": entry.description,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    json_of(client.post("model-versions/create", json=version))
