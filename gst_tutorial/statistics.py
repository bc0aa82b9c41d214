"""Correlations and paired differences, each with a 95% interval and the number of seeds behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from gst_tutorial import _arguments as check

N_RESAMPLES = 2000  # of every bootstrap; the interval's ends then repeat to about 2% of its width
ENOUGH_TO_RESAMPLE = 10  # seeds; below, a bootstrap interval of a mean is too short (at 5 it covers about 84%, not 95%)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval.

    Attributes:
        name: what is estimated.
        value, low, high: the estimate and the ends of its interval.
        n_seeds: how many seeds (or independent units) it rests on.
    """

    name: str
    value: float
    low: float
    high: float
    n_seeds: int

    @property
    def sign(self) -> int:
        """+1 or -1 if the whole interval is on one side of 0, otherwise 0."""
        return int(np.sign(self.low)) if self.low * self.high > 0 else 0

    def __str__(self) -> str:
        return f"{self.name} {self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {self.n_seeds} seeds"


def correlation(frame: pd.DataFrame, x: str, y: str, kind: str = "kendall", cluster: str | None = "seed") -> Estimate:
    """Correlation of two columns over runs.

    Args:
        frame: a row per run; rows with a missing `x` or `y` are left out.
        x, y: column names.
        kind: "kendall" (tau-b, of ranks) or "pearson" (of values).
        cluster: runs with the same value in this column share initial weights and batches, so they are not independent.
            The interval is a jackknife over whole clusters: Fisher's z = artanh(r), its standard error from leaving out
            one cluster at a time, and Student's t for the number of clusters (Efron & Tibshirani 1993, chapter 11). A
            bootstrap would count a run and its own copy as a pair, which pulls tau towards its value within clusters.
            None: runs are taken as independent; Pearson's interval is then SciPy's (Fisher's).

    Raises:
        ValueError: a column without variation, or fewer than 3 clusters.
    """
    check.one_of("kind", kind, ("kendall", "pearson"))
    frame = frame.dropna(subset=[x, y])
    for column in (x, y):
        if frame[column].nunique() < 2:
            raise ValueError(f"{column!r} does not vary over these {len(frame)} runs, so it has no correlation.")
    name = f"{kind.capitalize()} correlation of {x} and {y}"
    columns = frame[[x, y]].to_numpy(float)
    if cluster is None and kind == "pearson":
        found = stats.pearsonr(*columns.T)
        interval = found.confidence_interval(0.95)
        return Estimate(name, float(found.statistic), float(interval.low), float(interval.high), len(frame))
    statistic = _kendall if kind == "kendall" else _pearson
    codes = pd.factorize(frame[cluster])[0] if cluster else np.arange(len(frame))
    n_clusters = int(codes.max()) + 1
    if n_clusters < 3:
        raise ValueError(f"An interval needs at least 3 independent groups ({cluster or 'runs'}), not {n_clusters}.")
    z = np.arctanh(_inside(statistic(*columns.T)))
    left_out = np.array([np.arctanh(_inside(statistic(*columns[codes != c].T))) for c in range(n_clusters)])
    error = np.sqrt((n_clusters - 1) / n_clusters * ((left_out - left_out.mean()) ** 2).sum())
    if error == 0 and abs(np.tanh(z)) < 0.999:  # few clusters that happen to agree when any one of them is left out
        return Estimate(name, float(np.tanh(z)), -1.0, 1.0, n_clusters)
    half = stats.t.ppf(0.975, n_clusters - 1) * error
    return Estimate(name, float(np.tanh(z)), float(np.tanh(z - half)), float(np.tanh(z + half)), n_clusters)


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.kendalltau(x, y).statistic)


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def _inside(r: float) -> float:
    return float(np.clip(r, -0.999999, 0.999999))  # Fisher's z of a perfect correlation is infinite


def paired_differences(
    frame: pd.DataFrame, a: str, b: str = "none", value: str = "final_accuracy", by: str = "label"
) -> pd.Series:
    """`value` of method `a` minus that of method `b`, seed by seed.

    Args:
        frame: a row per run, with columns `seed`, `by` and `value`.
        a, b: two values of the column `by`.

    Returns:
        Series indexed by seed; seeds that lack one of the two (or where one failed) are left out.
    """
    table = {}
    for method in (a, b):
        rows = frame[frame[by] == method].dropna(subset=[value])
        if rows.empty:
            near = ", ".join(map(repr, frame[by].unique()[:12]))
            raise ValueError(f"{method!r} is not in column {by!r}, which has {near}.")
        if rows.seed.duplicated().any():
            raise ValueError(f"{method!r} has several runs with one seed; pairing needs one each.")
        table[method] = rows.set_index("seed")[value]
    return (table[a] - table[b]).dropna().rename(f"{a} - {b}")


def paired_difference(
    frame: pd.DataFrame, a: str, b: str = "none", value: str = "final_accuracy", by: str = "label"
) -> Estimate:
    """Mean of `paired_differences` with the interval of `mean_estimate`. See there for the arguments."""
    differences = paired_differences(frame, a, b, value, by)
    return mean_estimate(differences, f"{a} against {b}")


def mean_estimate(values: pd.Series | np.ndarray, name: str) -> Estimate:
    """Mean of independent values, one per seed, with a 95% interval.

    From ten values on it is a BCa bootstrap interval (SciPy). With fewer, resampling sees too little of what could have
    happened (of three values it makes no more than their range), and the interval is Student's.

    Raises:
        ValueError: fewer than 3 values.
    """
    values = np.asarray(values, float)
    if len(values) < 3:
        raise ValueError(f"{name}: an interval needs at least 3 seeds, not {len(values)}.")
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Estimate(name, mean, mean, mean, len(values))
    if len(values) < ENOUGH_TO_RESAMPLE:
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        return Estimate(name, mean, float(mean - half), float(mean + half), len(values))
    found = stats.bootstrap((values,), np.mean, n_resamples=N_RESAMPLES, rng=np.random.default_rng(0))
    interval = found.confidence_interval
    return Estimate(name, mean, float(interval.low), float(interval.high), len(values))


def gains(
    frame: pd.DataFrame, baseline: str = "none", value: str = "final_accuracy", by: str = "label"
) -> pd.DataFrame:
    """Paired gain of every method over the baseline.

    Returns:
        DataFrame indexed by method, in the order of first appearance: `gain`, `low`, `high` (in the unit of `value`),
        `n_seeds`, and mean `instability` over the seeds.
    """
    rows = {}
    for method in frame[by].unique():
        if method != baseline:
            e = paired_difference(frame, method, baseline, value, by)
            instability = frame.loc[frame[by] == method, "instability"].mean()
            rows[method] = {
                "gain": e.value,
                "low": e.low,
                "high": e.high,
                "n_seeds": e.n_seeds,
                "instability": instability,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def gains_by_width(frame: pd.DataFrame) -> pd.DataFrame:
    """Paired gain of pruning for every size of the training set and every width of the network, as a study varies them.

    Args:
        frame: a row per run, columns `n_train`, `width`, `method` ("none" or "prune"), `seed`, the accuracies and
            `instability`.

    Returns:
        DataFrame indexed by `(n_train, width)`, ascending: `without`, test accuracy of the unpruned network; `fits` and
        `fits pruned`, accuracy on the training set of both; `gain`, `low`, `high`; `instability` of the pruned one. All
        are shares.

    Raises:
        ValueError: a row without `n_train`, a size without both methods, or with fewer than 3 seeds.
    """
    if frame.n_train.isna().any():
        raise ValueError("n_train is missing in some rows: name the size of the training set in every config.")
    rows = {}
    for size, part in frame.groupby(["n_train", "width"]):
        e = paired_difference(part, "prune", by="method")
        seeds = paired_differences(part, "prune", by="method").index  # those that both methods finished
        numbers = ["final_accuracy", "train_accuracy", "instability"]
        mean = part[part.seed.isin(seeds)].groupby("method")[numbers].mean()
        rows[size] = {
            "without": mean.final_accuracy["none"],
            "fits": mean.train_accuracy["none"],
            "fits pruned": mean.train_accuracy["prune"],
            "gain": e.value,
            "low": e.low,
            "high": e.high,
            "instability": mean.instability["prune"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["n_train", "width"])


def optimum(frame: pd.DataFrame, dose: str, value: str = "gain") -> Estimate:
    """The dose with the largest mean value, with a percentile bootstrap interval over seeds.

    Args:
        frame: columns `seed`, `dose` and `value`, a row per seed and dose (average other factors out before).
        dose: name of the column whose best level is sought. The answer is one of its levels: no curve is fitted.
    """
    table = frame.pivot_table(index="seed", columns=dose, values=value).dropna()  # (seeds, doses)
    levels, values = table.columns.to_numpy(float), table.to_numpy()
    low, high = _bootstrap(len(values), lambda counts: levels[(counts @ values).argmax()])
    return Estimate(f"best {dose}", float(levels[values.mean(0).argmax()]), low, high, len(values))


def _bootstrap(n_clusters: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """Percentile interval of a statistic of how often each cluster is drawn; the same draws for the same number."""
    if n_clusters < 3:
        raise ValueError(f"An interval needs at least 3 independent groups (seeds), not {n_clusters}.")
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=N_RESAMPLES).astype(float)
    return tuple(float(q) for q in np.nanquantile([statistic(counts) for counts in draws], (0.025, 0.975)))


CONCLUSIONS = {1: "above zero", -1: "below zero", 0: "not told apart from zero"}


def _digits(scale: float) -> int:
    return 1 if scale > 1 else 2


def verdict(estimate: Estimate, unit: str = "", scale: float = 1.0) -> str:
    """One line that says what an estimate shows, and how surely.

    >>> verdict(Estimate("largest against none", 0.021, 0.013, 0.029, 20), unit=" points", scale=100)
    'largest against none: +2.1 points, 95% interval +1.3 to +2.9, 20 seeds: above zero.'
    """
    value, low, high = (scale * number for number in (estimate.value, estimate.low, estimate.high))
    digits, conclusion = _digits(scale), CONCLUSIONS[estimate.sign]
    return (
        f"{estimate.name}: {value:+.{digits}f}{unit}, 95% interval {low:+.{digits}f} to {high:+.{digits}f}, "
        f"{estimate.n_seeds} seeds: {conclusion}."
    )


def verdicts(estimates: dict[str, Estimate], scale: float = 1.0) -> pd.DataFrame:
    """What `verdict` says of many estimates, as a table to print: a row for each, by the names given here.

    >>> print(verdicts({"largest": Estimate("gain", 0.021, 0.013, 0.029, 20)}, scale=100))
             value  low  high  seeds     verdict
    largest    2.1  1.3   2.9     20  above zero
    """
    rows = {
        name: {
            **{end: round(scale * getattr(e, end), _digits(scale)) for end in ("value", "low", "high")},
            "seeds": e.n_seeds,
            "verdict": CONCLUSIONS[e.sign].removesuffix(" from zero"),  # so that a row fits a page
        }
        for name, e in estimates.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
