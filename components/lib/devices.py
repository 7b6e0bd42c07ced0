"""CPU or GPU: the device that is asked for, and the one that there is."""

import logging

import numpy as np
import xgboost as xgb

from shipway.components.lib.errors import ConfigurationError, nearest

DEVICES = ("cpu", "cuda", "auto")
_log = logging.getLogger(__name__)


def chosen_device(asked: str) -> tuple[str, str]:
    """The device that trains, and why it is not the one that was asked for.

    Raises:
        ConfigurationError: the device is unknown.
    """
    if asked not in DEVICES:
        raise ConfigurationError(
            f"device='{asked}' is unknown: it is {', '.join(DEVICES)}.{nearest(asked, DEVICES)}"
        )
    if asked == "cpu":
        return "cpu", ""
    if not xgb.build_info().get("USE_CUDA"):
        reason = "this image's XGBoost is built without CUDA; take an image with `xgboost`"
    else:
        try:
            probe = xgb.QuantileDMatrix(np.zeros((2, 1), dtype=np.float32), np.array([0.0, 1.0]))
            xgb.train({"device": "cuda", "tree_method": "hist"}, probe, 1)
            return "cuda", ""
        except xgb.core.XGBoostError as error:
            reason = f"no GPU answers ({str(error).splitlines()[0][:120]})"
    _log.warning("device='%s' was asked for, and the CPU trains: %s.", asked, reason)
    return "cpu", reason
