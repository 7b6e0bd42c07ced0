"""What each metric says, in the words of a page."""

from shipway.components.lib.metrics import HIGHER_IS_BETTER

_WORDS = {
    "auc": "how often a positive row scores above a negative one; 0.5 is guessing",
    "auc_ovr": "the same for each class against the others, averaged; 0.5 is guessing",
    "average_precision": "precision, averaged over every recall",
    "log_loss": "the mean penalty of probabilities, heavy for what was sure and wrong",
    "brier": "the mean squared error of the probabilities",
    "ece": "calibration error: the mean gap of a probability to the share that came",
    "accuracy": "the share of right answers",
    "precision": "the share of positive answers that are right",
    "recall": "the share of positive rows that are found",
    "f1": "precision and recall in one (harmonic mean)",
    "macro_f1": "precision and recall in one (F1), averaged over the classes",
    "rmse": "the size of an error, large ones weighing more, in units of the label",
    "mae": "the mean size of an error, in units of the label",
    "mape": "the mean size of an error, as a share of the true value",
    "r2": "the share of the label's variance that is explained; 0 is the mean",
    "interval_coverage": "the share of true values within their interval",
    "interval_width": "the mean width of the intervals, in units of the label",
    "pinball_loss": "the mean penalty of the quantiles, in units of the label",
    "ndcg@5": "the order of the first 5 places of a query; 1 is the best one",
    "ndcg@10": "the order of the first 10 places of a query; 1 is the best one",
    "map@10": "precision at each hit within the first 10 places, averaged",
    "mrr": "one divided by the place of the first hit, averaged",
}
_LOSSES = {
    "logloss": "log loss",
    "mlogloss": "log loss",
    "rmse": "RMSE",
    "mae": "MAE",
    "quantile": "pinball loss",
    "poisson-nloglik": "Poisson loss",
    "gamma-nloglik": "gamma loss",
    "tweedie-nloglik": "Tweedie loss",
}


def said_of(metric: str) -> str:
    """What a metric measures, and which way is better."""
    return f"{_WORDS[metric]}; {'higher' if HIGHER_IS_BETTER[metric] else 'lower'} is better"


def loss_words(name: str) -> str:
    """XGBoost's name of a loss, as an axis has it."""
    kind = name.partition("@")[0]
    return _LOSSES.get(kind, name)
