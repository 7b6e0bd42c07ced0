"""A model package made ready to answer: hashes, versions and golden rows are checked first."""

from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.settings import Settings


def load_engine(settings: Settings) -> Engine:
    """Load the package that the settings name.

    Raises:
        ModelPackageError: a file is missing or changed, the format or the XGBoost version does not
            fit, or the golden rows do not get the outputs that they got in training.
    """
    package = load_package(settings.model_dir)
    check_golden(package)
    return Engine(
        package,
        name=settings.model_name,
        version=settings.model_version,
        max_rows=settings.max_rows,
        max_explain_rows=settings.max_explain_rows,
        refuse_unknown=settings.unknown_category == "refuse",
        threads=settings.threads,
    )
