"""Means, paired differences and correlations, each with a 95% interval and the number of seeds behind it.

A seed is the independent unit: runs of one seed share initial weights and batches. Intervals of means are Student's t on
seeds. Around them: `equivalence` (is it small enough to call it nothing?), `holm` (many tests at once) and `power` (would
so many seeds have seen it?).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gst_tutorial import _arguments as check

LEVEL = 0.05  # of every test; intervals are of 95%
N_RESAMPLES = 2000  # of the one bootstrap (`optimum`); the interval's ends then repeat to about 2% of its width


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
    check.one_of("kind", kind, STATISTICS)
    check.frame("frame", frame, x=x, y=y, **({} if cluster is None else {"cluster": cluster}))
    _check_once(frame, x, y)
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
    statistic = STATISTICS[kind]
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


def _check_once(frame: pd.DataFrame, *columns: str) -> None:
    """Raise a ValueError if a run is in the frame twice, as after `pd.concat` of overlapping results.

    Two arms may share a run, so the label counts, too. Without the column `hash`, rows that are equal in all columns tell.
    """
    keys = [name for name in ("label", "hash") if name in frame.columns]
    if "hash" in keys and frame.duplicated(twice := [*keys, *columns]).any():
        row = frame[frame.duplicated(twice)].iloc[0]
        raise ValueError(f"frame has the run {row['hash']} twice; keep one: frame.drop_duplicates({keys}).")
    if "hash" not in keys and {"label", "seed"} <= set(frame.columns) and frame.duplicated().any():
        row = frame[frame.duplicated()].iloc[0]
        raise ValueError(f"frame has {row.label!r} with seed {row.seed} twice; keep one: frame.drop_duplicates().")


STATISTICS = {
    "kendall": lambda x, y: float(stats.kendalltau(x, y).statistic),
    "pearson": lambda x, y: float(np.corrcoef(x, y)[0, 1]),
}


def _inside(r: float) -> float:
    return float(np.clip(r, -0.999999, 0.999999))  # Fisher's z of a perfect correlation is infinite


def within_seed_correlations(
    frame: pd.DataFrame, x: str, y: str, kind: str = "kendall", cluster: str = "seed"
) -> pd.Series:
    """Correlation of two columns over the runs of each seed, indexed by seed.

    Args:
        frame: a row per run; rows with a missing `x` or `y` are left out, and so are seeds in which one does not vary.
        x, y, kind: see `correlation`. cluster: the column that names the seed.
    """
    check.one_of("kind", kind, STATISTICS)
    check.frame("frame", frame, x=x, y=y, cluster=cluster)
    _check_once(frame, x, y)
    statistic = STATISTICS[kind]
    parts = {seed: part[[x, y]].to_numpy(float).T for seed, part in frame.dropna(subset=[x, y]).groupby(cluster)}
    found = {seed: statistic(*columns) for seed, columns in parts.items() if np.ptp(columns, axis=1).all()}
    return pd.Series(found, dtype=float, name=f"{kind.capitalize()} correlation of {x} and {y} within a {cluster}")


def within_seed_correlation(
    frame: pd.DataFrame, x: str, y: str, kind: str = "kendall", cluster: str = "seed"
) -> Estimate:
    """Mean of `within_seed_correlations` (see there): what seeds differ in plays no part.

    The interval is Student's t on the seeds' correlations, cut off at -1 and 1.

    Raises:
        ValueError: fewer than 3 seeds are left.
    """
    found = within_seed_correlations(frame, x, y, kind, cluster)
    e = mean_estimate(found, found.name)
    return dataclasses.replace(e, low=max(e.low, -1.0), high=min(e.high, 1.0))


def paired_differences(
    frame: pd.DataFrame,
    a: str | Mapping[str, Any],
    b: str | Mapping[str, Any] = "none",
    value: str = "final_accuracy",
    by: str = "label",
) -> pd.Series:
    """`value` of arm `a` minus that of arm `b`, seed by seed.

    Args:
        frame: a row per run, with columns `seed`, `by` and `value`.
        a, b: each a value of the column `by`, or factors that pick exactly one: {"target": "largest", "dose": 0.4}.

    Returns:
        Series indexed by seed. Seeds for which only one of the two arms has a value are left out, with a warning.

    Raises:
        ValueError: no such arm, factors that fit several, or an arm with several runs of one seed.
    """
    check.frame("frame", frame, frame="seed", value=value, by=by)
    names, values = [], []
    for argument, arm in (("a", a), ("b", b)):
        name = _arm(frame, argument, arm, by)
        rows = frame[frame[by] == name].dropna(subset=[value])
        if rows.empty:
            near = ", ".join(map(repr, frame[by].unique()[:12]))
            raise ValueError(f"{argument}={check.shown(name)} is not in column {by!r}, which has {near}.")
        if rows.seed.duplicated().any():
            raise ValueError(f"{argument}={name!r} has several runs with one seed; pairing needs one each.")
        names.append(name)
        values.append(rows.set_index("seed")[value])
    unmatched = sorted(set(values[0].index) ^ set(values[1].index))
    if unmatched:
        warnings.warn(
            f"{names[0]!r} and {names[1]!r} are compared without the seeds {unmatched}: only one of them has a {value}.",
            stacklevel=2,
        )
    return (values[0] - values[1]).dropna().rename(f"{names[0]} - {names[1]}")


def _arm(frame: pd.DataFrame, argument: str, arm: str | Mapping[str, Any], by: str) -> Any:
    """The value of column `by` that a label or factors stand for."""
    if not isinstance(arm, Mapping):
        if not np.isscalar(arm):  # a list or an array would be compared with the column, row by row
            raise TypeError(f"{argument}={check.shown(arm)} must be a value of column {by!r}, or factors by name.")
        return arm
    fits = pd.Series(True, index=frame.index)
    for factor, level in arm.items():
        fits &= frame[check.one_of(f"{argument}: factor", factor, frame.columns)] == level
    found = frame.loc[fits, by].unique()
    if len(found) != 1:
        several = f"fit {len(found)} arms: {', '.join(map(repr, found[:6]))}" if len(found) else "fit no arm"
        raise ValueError(f"The factors {argument}={dict(arm)!r} {several}; they must pick exactly one.")
    return found[0]


def paired_difference(
    frame: pd.DataFrame,
    a: str | Mapping[str, Any],
    b: str | Mapping[str, Any] = "none",
    value: str = "final_accuracy",
    by: str = "label",
) -> Estimate:
    """Mean of `paired_differences` with the interval of `mean_estimate`. See there for the arguments."""
    differences = paired_differences(frame, a, b, value, by)
    return mean_estimate(differences, f"{_arm(frame, 'a', a, by)} against {_arm(frame, 'b', b, by)}")


def mean_estimate(values: pd.Series | np.ndarray, name: str) -> Estimate:
    """Mean of independent values, one per seed, with a 95% interval by Student's t: mean +- t(n - 1) sd / sqrt(n).

    It holds for few seeds, too, where a bootstrap's interval is too short (it sees only the values that happened).

    Args:
        values: `(n_seeds,)`, in the unit of the answer.

    Raises:
        ValueError: fewer than 3 values.
    """
    check.instance("name", name, str)
    values = check.numbers_of("values", values)
    if len(values) < 3:
        raise ValueError(f"{name}: an interval needs at least 3 seeds, not {len(values)} values.")
    mean = float(values.mean())
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * stats.sem(values))
    return Estimate(name, mean, mean - half, mean + half, len(values))


def means(frame: pd.DataFrame, by: str, value: str) -> dict[Hashable, Estimate]:
    """Mean of column `value` at each level of column `by`, with the interval of `mean_estimate`.

    Several runs of one seed at one level, as when `by` is a factor that several arms share, are not independent: they
    have initial weights and batches in common. They are averaged first, so that the interval rests on seeds, not on runs.

    Args:
        frame: a row per run, with column `seed`; rows without a `value` are left out.

    Returns:
        An estimate per level, in order of first appearance. A level with fewer than 3 seeds has no interval: its ends are
        nan.

    Raises:
        ValueError: a column is missing, or a run is in the frame twice.
    """
    check.frame("frame", frame, frame="seed", by=by, value=value)
    _check_once(frame, by, value)
    found = {}
    for level, part in frame.dropna(subset=[value]).groupby(by, sort=False):
        values = part.groupby("seed")[value].mean()
        if len(values) < 3:
            found[level] = Estimate(str(level), float(values.mean()), np.nan, np.nan, len(values))
        else:
            found[level] = mean_estimate(values, str(level))
    return found


def equivalence(values: pd.Series | np.ndarray, bound: float) -> float:
    """The p-value of two one-sided t tests (Schuirmann 1987): small says that the mean lies within (-bound, bound).

    Below 0.05, "no effect larger than the bound" is shown; it is the same as a 90% interval that lies inside the bound.
    An interval of a difference that merely contains 0 shows no such thing.

    Args:
        values: `(n_seeds,)`, paired differences as of `paired_differences`. bound: the largest mean that would still count as
            none, in their unit, chosen before looking.

    Raises:
        ValueError: fewer than 3 values, or a bound that is not above 0.
    """
    check.real("bound", bound, 0, open_low=True)
    e = mean_estimate(values, "equivalence")
    error = float(stats.sem(np.asarray(values, float)))
    if error == 0:
        return float(abs(e.value) >= bound)
    return float(stats.t.sf((bound - abs(e.value)) / error, e.n_seeds - 1))  # the larger of the two


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of a family of tests, corrected (Holm 1979): with k tests, those below 0.05 hold together.

    The i-th smallest of k is multiplied by k + 1 - i, is never below a smaller one, and at most 1.

    Args:
        p_values: by the name of the test, e.g. `scipy.stats.ttest_1samp(paired_differences(...), 0).pvalue`.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    for name, p in check.instance("p_values", p_values, Mapping).items():
        check.real(f"p_values[{name!r}]", p, 0, 1)
    order = sorted(p_values, key=p_values.get)
    corrected, least = {}, 0.0
    for i, name in enumerate(order):
        least = corrected[name] = min(1.0, max(least, (len(order) - i) * p_values[name]))
    return {name: corrected[name] for name in p_values}


def power(effect: float, sd: float, n_seeds: int) -> float:
    """Probability that the two-sided paired t test at 5% finds an effect, from the noncentral t distribution.

    Args:
        effect: the true mean difference. sd: standard deviation of the paired differences, in the same unit.
        n_seeds: number of pairs, at least 2.

    >>> round(power(effect=0.01, sd=0.015, n_seeds=20), 2)
    0.81
    """
    check.real("effect", effect)
    check.real("sd", sd, 0, open_low=True)
    df = check.integer("n_seeds", n_seeds, 2, check.MOST) - 1
    shift, critical = abs(effect) / sd * np.sqrt(n_seeds), stats.t.ppf(1 - LEVEL / 2, df)
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


def gains(
    frame: pd.DataFrame, baseline: str = "none", value: str = "final_accuracy", by: str = "label"
) -> pd.DataFrame:
    """Paired gain of every method over the baseline.

    Returns:
        DataFrame indexed by method, in the order of first appearance: `gain`, `low`, `high` (in the unit of `value`),
        `n_seeds`, and mean `instability` over the seeds; then every other column of `frame` that has one value within
        each method: its factors and its config.
    """
    check.frame("frame", frame, frame="instability", value=value, by=by)
    if not np.isscalar(baseline) or not (frame[by] == baseline).any():
        check.one_of("baseline", baseline, frame[by].unique())
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
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
    others = frame.columns.difference([by, "seed", "hash", "status", "error", value, *table.columns], sort=False)
    groups = frame.groupby(by, sort=False)[list(others)]
    constant = [column for column, n in groups.nunique(dropna=False).max().items() if n == 1]
    factors = frame.drop_duplicates(by).set_index(by)[constant]
    return table.join(factors)


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
    for column in ("n_train", "width", "method", "seed", "train_accuracy", "instability"):
        check.frame("frame", frame, frame=column)
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
    """The dose with the largest mean value, with a percentile bootstrap interval over seeds (SciPy's).

    The best of a few levels is no mean: it jumps from level to level and has no standard error, so Student's t does not
    apply. Drawing whole seeds again and taking the best level each time says how far it might have jumped.

    Args:
        frame: columns `seed`, `dose` and `value`, a row per seed and dose (average other factors out before).
        dose: name of the column whose best level is sought. The answer is one of its levels: no curve is fitted.

    Raises:
        ValueError: fewer than 3 seeds that have every dose.
    """
    check.frame("frame", frame, frame="seed", dose=dose, value=value)
    table = frame.pivot_table(index="seed", columns=dose, values=value).dropna()  # (seeds, doses)
    levels, values = table.columns.to_numpy(float), table.to_numpy()
    if len(values) < 3:
        raise ValueError(f"best {dose}: an interval needs at least 3 seeds, not {len(values)}.")

    def best(seeds: np.ndarray, axis: int = -1) -> np.ndarray:
        return levels[values[seeds].mean(axis=axis - 1).argmax(-1)]  # (..., seeds, doses) -> (..., doses) -> (...)

    seeds = np.arange(len(values))
    found = stats.bootstrap(
        (seeds,), best, vectorized=True, n_resamples=N_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(f"best {dose}", float(best(seeds)), float(found.low), float(found.high), len(values))


CONCLUSIONS = {1: "above zero", -1: "below zero", 0: "not distinguishable from zero"}


def conclusion(estimate: Estimate) -> str:
    """The verdict in a word or two: "above zero", "below zero" or "not distinguishable from zero"."""
    return CONCLUSIONS[check.instance("estimate", estimate, Estimate).sign].removesuffix(" from zero")


def _digits(scale: float) -> int:
    return 1 if scale > 1 else 2


def verdict(estimate: Estimate, unit: str = "", scale: float = 1.0) -> str:
    """One line that says what an estimate shows, and how surely.

    >>> verdict(Estimate("largest against none", 0.021, 0.013, 0.029, 20), unit=" points", scale=100)
    'largest against none: +2.1 points, 95% interval +1.3 to +2.9, 20 seeds: above zero.'
    """
    check.instance("estimate", estimate, Estimate)
    check.instance("unit", unit, str)
    check.real("scale", scale, 0, open_low=True)  # below 0 it would turn the sign round, and not the verdict
    value, low, high = (scale * number for number in (estimate.value, estimate.low, estimate.high))
    digits = _digits(scale)
    return (
        f"{estimate.name}: {value:+.{digits}f}{unit}, 95% interval {low:+.{digits}f} to {high:+.{digits}f}, "
        f"{estimate.n_seeds} seeds: {CONCLUSIONS[estimate.sign]}."
    )


def verdicts(estimates: dict[str, Estimate], scale: float = 1.0) -> pd.DataFrame:
    """Collect the verdicts of many estimates in a table to print, a row for each, by the names given here.

    >>> print(verdicts({"largest": Estimate("gain", 0.021, 0.013, 0.029, 20)}, scale=100))
             value  low  high  seeds     verdict
    largest    2.1  1.3   2.9     20  above zero
    """
    for name, e in check.instance("estimates", estimates, Mapping).items():
        check.instance(f"estimates[{name!r}]", e, Estimate)
    check.real("scale", scale, 0, open_low=True)
    rows = {
        name: {
            **{end: round(scale * getattr(e, end), _digits(scale)) for end in ("value", "low", "high")},
            "seeds": e.n_seeds,
            "verdict": conclusion(e),
        }
        for name, e in estimates.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
