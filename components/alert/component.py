"""The KFP face of the alert."""

from kfp import dsl

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def send_alert(status: dsl.PipelineTaskFinalStatus, model_name: str, model_store: str = ""):
    """Tell a webhook how the run ended; without one, the log.

    The webhook's URL is a secret: it comes from the environment, never as a parameter.

    Args:
        status: Final status of the run.
        model_name: Name of the model.
        model_store: Store of its versions, named in the message.
    """
    from shipway.components.alert.logic import Outcome, send

    outcome = Outcome(
        status.state, status.pipeline_job_resource_name, status.error_message or "", model_name
    )
    send(outcome, model_store)
