"""From margins to probabilities that mean what they say.

Applying needs NumPy alone; fitting needs scikit-learn and runs in training, on validation rows.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from shipway.components.lib.losses import mean_error
from shipway.components.lib.task import Target

FOLDS = 5
MIN_ROWS = 200
MIN_ISOTONIC_ROWS = 5_000
CHOOSING_ROWS = 100_000  # at most: what more of them could tell apart is of no consequence
EPSILON = 1e-7
FARTHEST = 20.0  # that margins may be from where they should be


@dataclass(frozen=True)
class Calibrator:
    """How margins become probabilities.

    Attributes:
        method: "none", "platt" (a logistic curve), "isotonic" (steps) or "temperature" (a scale).
        parameters: of "platt" slope and intercept, of "temperature" the inverse temperature.
        margins: knots of "isotonic".
        probabilities: at those knots.
    """

    method: str = "none"
    parameters: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Calibrator":
        """The inverse of `to_json`."""
        return cls(**value)

    def after(self, shift: float) -> "Calibrator":
        """One of two classes that says of margins what this one says of them with a shift added."""
        if self.method == "isotonic":
            return replace(self, margins=[margin - shift for margin in self.margins])
        slope, intercept = self.parameters or (1.0, 0.0)
        return Calibrator("platt", [slope, intercept + slope * shift])

    def apply(self, margins: np.ndarray) -> np.ndarray:
        """Probabilities of the classes.

        Args:
            margins: float64 of shape (n,) for two classes, (n, c) for several.

        Returns:
            float64 of shape (n, 2) or (n, c); each row depends on its own margins only.
        """
        if margins.ndim == 2:
            scaled = margins * self.parameters[0] if self.method == "temperature" else margins
            powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
            # Column by column: NumPy's own sum adds in an order that may depend on the shape.
            total = powers[:, 0].copy()
            for index in range(1, powers.shape[1]):
                total += powers[:, index]
            return np.asarray(powers / total[:, None])
        if self.method == "isotonic":
            positive = np.interp(margins, self.margins, self.probabilities)
        elif self.method == "platt":
            positive = _sigmoid(self.parameters[0] * margins + self.parameters[1])
        else:
            positive = _sigmoid(margins)
        probabilities = np.empty((len(positive), 2))
        probabilities[:, 1] = positive
        np.subtract(1.0, positive, out=probabilities[:, 0])
        return probabilities


def _sigmoid(margins: np.ndarray) -> np.ndarray:
    bounded = np.minimum(np.maximum(margins, -500.0), 500.0)
    return np.asarray(1.0 / (1.0 + np.exp(-bounded)))


def log_loss(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Loss of each row: float64 of shape (n,)."""
    chosen = probabilities[np.arange(len(y)), y]
    return np.asarray(-np.log(np.clip(chosen, EPSILON, 1.0)))


def level_shift(calibrator: Calibrator, margins: np.ndarray, y: np.ndarray) -> float:
    """What to add to margins for probabilities to be, in the mean, the share of positive labels.

    Args:
        calibrator: of two classes.
        margins: float64 of shape (n,).
        y: codes of the classes, shape (n,).

    Returns:
        0 where rows are too few to tell, or of one class.
    """
    from scipy.optimize import root_scalar

    share = y.mean()
    if len(y) < MIN_ROWS or share in (0, 1):
        return 0.0

    def gap(shift: float) -> float:
        return float(calibrator.apply(margins + shift)[:, 1].mean() - share)

    low, high = -FARTHEST, FARTHEST
    if gap(low) * gap(high) > 0:  # an isotonic curve ends before certainty
        return 0.0
    return float(root_scalar(gap, bracket=(low, high)).root)


def fit_calibrator(
    target: Target, margins: np.ndarray, y: np.ndarray, related: np.ndarray | None = None
) -> Calibrator:
    """Choose a calibrator by its out-of-fold log loss on the validation rows.

    A method is taken only when it beats plain margins by more than two standard errors of the
    paired difference. Isotonic regression needs many rows (A. Niculescu-Mizil and R. Caruana,
    "Predicting good probabilities with supervised learning", ICML 2005).

    Args:
        target: a classification.
        margins: of the validation rows, float64 of shape (n,) or (n, c).
        y: codes of their classes, shape (n,).
        related: the number of the group, or stretch of time, that each row is of, shape (n,): a
            fold holds whole ones, neighbours together, and errors count each as one. None where
            rows do not depend on each other.
    """
    plain = Calibrator()
    if target.kind.numeric or len(y) < MIN_ROWS:
        return plain
    methods = ["temperature"] if margins.ndim == 2 else ["platt"]
    if margins.ndim == 1 and len(y) >= MIN_ISOTONIC_ROWS:
        methods.append("isotonic")
    draw = np.random.default_rng(0)
    asked, truth = margins, y
    if len(y) > CHOOSING_ROWS:
        rows = np.unique(draw.integers(0, len(y), CHOOSING_ROWS))
        asked, truth = margins[rows], y[rows]
        related = None if related is None else related[rows]
    order = draw.permutation(len(truth)) if related is None else related
    folds = order * FOLDS // (order.max() + 1)
    before = log_loss(plain.apply(asked), truth)
    best, best_gain = plain, 0.0
    for method in methods:
        after = np.empty(len(truth))
        for fold in np.unique(folds):
            out = folds == fold
            fitted = plain if out.all() else _fit(method, asked[~out], truth[~out])
            after[out] = log_loss(fitted.apply(asked[out]), truth[out])
        gains = before - after
        gain, error = float(gains.mean()), mean_error(gains, None, related)
        if gain > 2 * error and gain > best_gain:
            best, best_gain = Calibrator(method), gain
    return best if best is plain else _fit(best.method, margins, y)


def _fit(method: str, margins: np.ndarray, y: np.ndarray) -> Calibrator:
    if method == "temperature":
        return Calibrator(method, [_inverse_temperature(margins, y)])
    if method == "platt":
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(y)) < 2:
            return Calibrator()
        model = LogisticRegression(C=1e6).fit(margins[:, None], y)
        return Calibrator(method, [float(model.coef_[0, 0]), float(model.intercept_[0])])
    from sklearn.isotonic import IsotonicRegression

    # Clipped: an isotonic curve ends at 0 and 1, and no sample is proof of a certainty.
    edge = 1.0 / (len(y) + 2)
    curve = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(margins, y)
    return Calibrator(
        method, [], curve.X_thresholds_.tolist(), curve.y_thresholds_.astype(float).tolist()
    )


def _inverse_temperature(margins: np.ndarray, y: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    def loss(inverse: float) -> float:
        return float(log_loss(Calibrator("temperature", [inverse]).apply(margins), y).mean())

    return float(minimize_scalar(loss, bounds=(0.05, 5.0), method="bounded").x)
