"""What the SDK's import leaves out is whole when somebody asks for it."""

import subprocess
import sys

PROGRAM = """
import sys
sys.argv[1:] = ["--configure_logging", "false"]
from shipway.components.predictor.sdk import import_sdk
import_sdk()
import kserve, kubernetes
assert "pyarrow" not in sys.modules
assert "kubernetes.client.models" not in sys.modules
assert kubernetes.client.V1Pod(kind="Pod").to_dict()["kind"] == "Pod"
assert kserve.KServeClient
import pyarrow, pandas
assert pandas.DataFrame({"a": pyarrow.array([1, 2])})["a"].sum() == 3
"""


def test_what_is_put_off_comes_when_it_is_used():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
