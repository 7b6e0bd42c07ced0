"""The model as KServe's server lists it: predictions are answered before they come there."""

from typing import Any

from kserve import Model

from shipway.components.predictor.engine import Engine


class ShipwayModel(Model):  # type: ignore[misc]  # the SDK is not typed
    """A loaded engine as a `kserve.Model`, for the SDK's lists and its metadata."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine; it is ready, as its golden rows were replayed before."""
        super().__init__(engine.name)
        self.engine_ = engine
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """The inputs of the V2 metadata."""
        return self.engine_.input_types()

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs of the V2 metadata."""
        return self.engine_.output_types()
