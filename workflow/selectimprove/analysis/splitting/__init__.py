"""The change in pass@1 between two checkpoints of any model, split into selection and improvement.

Strategies are observed in generations, or models are told them; `mechanisms` has the arithmetic of both.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from selectimprove.analysis.mechanisms import PARTS, Behaviour, Observed, rate_given, split_change, split_observed
from selectimprove.analysis.splitting.tables import check_generations, check_told
from selectimprove.analysis.stats import bootstrap_weights, change_interval, proportion_interval
from selectimprove.errors import ParamsError

ALL = "all"
"""Names the row of all strata together, where each problem counts once."""


@dataclass(frozen=True)
class Split:
    """The result of `split`."""

    parts: pd.DataFrame
    """A row per stratum, and one for `ALL` of several: `n_problems`, pass@k, `change` of pass@1 and each part.

    Intervals end at ``_low`` and ``_high``. Without told generations there are `identified` and the bounds ``_least``
    and ``_most``, which the intervals cover.
    """
    strategies: pd.DataFrame
    """A row per stratum and strategy: shares, pass rates, numbers of generations, `fate` (``appears``, ``dies``)."""
    by: list[str]
    """The columns of the strata."""
    names: list[str]
    """The names of the parts."""


def split(
    before: pd.DataFrame,
    after: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    *,
    strategies: dict[str, re.Pattern] | None = None,
    told_before: pd.DataFrame | None = None,
    told_after: pd.DataFrame | None = None,
    k: Sequence[int] = (1,),
    balanced: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    seed: int = 0,
    names: Sequence[str] = ("before", "after", "told_before", "told_after"),
) -> Split:
    """Split the change in pass@1 between two checkpoints on the same problems; ``workflow/docs/split.md`` says more.

    `before` and `after` have a row per generation: `problem_id`, `strategy`, `correct` and optionally `sample`, its
    number within the problem. Patterns in `strategies` find the strategy in a column `completion`. Generations that
    were told a strategy have `problem_id`, `told`, `greedy` and `correct`; with them, improvement is split into
    sharpening and capability (`mechanisms`), on their problems only. Each stratum, a combination of values of the
    columns `by`, is split by itself. Its resamples depend on its name and the seed, and have as many problems of each
    value of the columns `balanced` as the data. Errors call the tables by `names`.
    """
    by = [by] if isinstance(by, str) else list(by or [])
    if not 0 < confidence < 1 or n_bootstrap < 1:
        raise ParamsError(f"confidence {confidence} should lie between 0 and 1, resamples {n_bootstrap} be at least 1")
    columns = list(dict.fromkeys([*by, *balanced]))
    generations = check_generations(names[:2], (before, after), columns, strategies)
    taken = set().union(*(table["strategy"] for table in generations))
    for name in strategies or ():
        if name not in taken:
            where = f"{names[0]} or {names[1]}"
            raise ParamsError(f"--strategies: {name}: names no completion of {where}; correct or remove its pattern")
    problems = generations[0].drop_duplicates("problem_id").set_index("problem_id")[columns]
    told, prescribed = [], []
    if told_before is not None or told_after is not None:
        told = check_told(names, (told_before, told_after), generations)
        prescribed = list(dict.fromkeys(told[0]["told"]))
        problems = problems[problems.index.isin(told[0]["problem_id"])]
    # The order of rows must not change the draws.
    problems = problems.loc[sorted(problems.index, key=_natural)]
    generations = [table[table["problem_id"].isin(problems.index)] for table in generations]
    taken = pd.Index(sorted(set().union(*(table["strategy"] for table in generations)), key=_natural))
    sides = [Observed.of(table, problems.index, taken) for table in generations]
    for name, side in zip(names, sides, strict=False):
        fewest = side.n_samples.argmin()
        if not 1 <= min(k) <= max(k) <= side.n_samples[fewest]:
            raise ParamsError(
                f"{name}: --k: expected 1 to {side.n_samples[fewest]}, as many generations as problem "
                f"{problems.index[fewest]} has, found {' '.join(map(str, k))}"
            )
    models, split_by, parts, told_rates = sides, split_observed, ["selection", "improvement"], []
    if told:
        pairs = zip(generations, told, strict=True)
        models = [Behaviour.of(own, of_told, prescribed, problems.index) for own, of_told in pairs]
        split_by, parts = split_change, [*parts, *PARTS[1:]]
        told_rates = [pd.DataFrame(model.told, columns=prescribed).reindex(columns=taken) for model in models]
    strata = _strata(problems, by)
    groups = np.zeros(len(problems), dtype=int)
    for number, members in enumerate(_strata(problems, balanced).values()):
        groups[members] = number
    draws = {}
    for stratum, members in strata.items():
        own_seed = zlib.crc32("/".join([str(seed), *stratum]).encode())
        resamples = bootstrap_weights(groups[members], n_bootstrap, own_seed)
        weights = np.vstack([np.ones(len(members)), resamples])
        draws[stratum] = _draw_pass_rates(weights, [side.at(members) for side in sides], k)
        draws[stratum] |= split_by(weights, *(model.at(members) for model in models))
    if len(strata) > 1:
        if any(ALL in stratum for stratum in strata):
            raise ParamsError(f"{names[0]}: --by: '{ALL}' is what all strata together are called; give it another name")
        sizes = [len(members) for members in strata.values()]
        draws[(ALL,) * len(by)] = {
            name: np.average([cell[name] for cell in draws.values()], axis=0, weights=sizes)
            for name in next(iter(draws.values()))
        }
        strata[(ALL,) * len(by)] = np.arange(len(problems))
    rows, by_strategy = [], []
    for stratum, members in strata.items():
        known = dict(zip(by, stratum, strict=True))
        summary = _summarize(draws[stratum], parts, len(members), confidence)
        rows.append(known | {"n_problems": len(members)} | summary)
        observed = [side.at(members) for side in sides]
        for number, strategy in enumerate(taken):
            row = known | {"strategy": strategy} | _describe_strategy(number, observed, confidence)
            for when, rates in zip(("before", "after"), told_rates, strict=False):
                row[f"told_{when}"] = np.mean(rates[strategy].to_numpy()[members])
            taken_before_and_after = row["n_before"] > 0, row["n_after"] > 0
            row["fate"] = {(False, True): "appears", (True, False): "dies"}.get(taken_before_and_after, "")
            by_strategy.append(row)
    return Split(pd.DataFrame(rows), pd.DataFrame(by_strategy), by, parts)


def _natural(text: str) -> tuple[int, str]:
    # As numbers, 9 comes before 10; as text, it does not.
    return (len(text) if text.isdecimal() else 0, text)


def _strata(problems: pd.DataFrame, by: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    """Return the positions of the problems of each stratum, strata in order."""
    keys = list(map(tuple, problems[[*by]].to_numpy()))
    strata = sorted(set(keys), key=lambda key: [*map(_natural, key)])
    return {stratum: np.flatnonzero([key == stratum for key in keys]) for stratum in strata}


def _draw_pass_rates(weights: np.ndarray, sides: list[Observed], k: Sequence[int]) -> dict[str, np.ndarray]:
    """Estimate pass@k of both sides, and its change for each row of weights."""
    draws = {}
    for one in dict.fromkeys((1, *k)):
        before, after = (side.pass_at(one) for side in sides)
        name = f"pass_at_{one}"
        draws |= {f"{name}_before": before.mean(), f"{name}_after": after.mean()}
        draws["change" if one == 1 else f"{name}_change"] = weights @ (after - before) / weights.sum(axis=1)
    return draws


def _summarize(draws: dict[str, np.ndarray], parts: list[str], n_problems: int, confidence: float) -> dict[str, float]:
    """Turn draws, whose first is the estimate, into estimates with intervals."""
    row = {}
    for name, drawn in draws.items():
        part, _, end = name.rpartition("_")
        if np.ndim(drawn) == 0:
            row[name] = float(drawn)
        elif end in ("least", "most") and part in parts:
            row[name] = float(drawn[0])
        else:
            least, most = (draws.get(f"{name}_{end}", drawn)[1:] for end in ("least", "most"))
            (low, _), (_, high) = (change_interval(bound, n_problems, confidence) for bound in (least, most))
            row |= {name: float(drawn[0]), f"{name}_low": low, f"{name}_high": high}
    if "selection_least" in row:
        row["identified"] = row["selection_least"] == row["selection_most"]
    return row


def _describe_strategy(number: int, sides: list[Observed], confidence: float) -> dict[str, float]:
    """Return a strategy's share with its interval, pass rate and number of generations, before and after."""
    row = {}
    for when, side in zip(("before", "after"), sides, strict=True):
        used = side.taken[:, number] / side.n_samples
        low, high = proportion_interval(used, confidence, int(side.n_samples.sum()))
        row |= {f"share_{when}": used.mean(), f"share_{when}_low": low, f"share_{when}_high": high}
        passed = (side.passed[:, number] / side.n_samples).mean()
        row[f"pass_rate_{when}"] = float(rate_given(passed, used.mean()))
        row[f"n_{when}"] = int(side.taken[:, number].sum())
    return row
