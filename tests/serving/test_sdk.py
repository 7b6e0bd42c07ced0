"""What the SDK's import leaves out is whole when somebody asks for it."""

import subprocess
import sys

PROGRAM = """
import sys
sys.argv[1:] = ["--configure_logging", "false"]
from shipway.components.predictor.sdk import import_sdk
import_sdk()
import kserve, kubernetes
from kserve.model_server import ModelServer
held = sys.modules.keys() & {"pyarrow", "pandas.core", "kubernetes.client.models"}
assert not held, held
assert kubernetes.client.V1Pod(kind="Pod").to_dict()["kind"] == "Pod"
assert kserve.KServeClient
tensors = [kserve.InferInput("a", [2], "FP64", [1.0, 2.0])]
assert kserve.InferRequest("model", tensors).as_dataframe()["a"].sum() == 3
import pandas
assert pandas.DataFrame({"a": [1, 2]})["a"].sum() == 3
"""


def test_what_is_put_off_comes_when_it_is_used():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
