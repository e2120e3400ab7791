"""The change in pass@1 between two checkpoints of any model, split into selection and improvement.

For the problems of a stratum let pi(s) be the share of generations that take strategy s, each problem counting once, and q(s) the share of
those that are correct. pass@1 is the sum of pi(s) q(s), so a change splits exactly as `mechanisms` says, with strategies as they were observed
in place of strategies that were told.

A strategy that one side never took has no q(s) there. The parts then depend on a number that these data do not hold. It lies between 0 and 1, and
so the parts lie between bounds, whose sums with one another are the change.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from selectimprove.analysis.generations import check_generations, check_same_problems, check_told
from selectimprove.analysis.mechanisms import PARTS, Behaviour, Observed, rate_given, split_change, split_observed
from selectimprove.analysis.stats import bootstrap_weights, percentile_interval, proportion_interval
from selectimprove.errors import ParamsError

ALL = "all"
"""All strata together, each problem counting once."""


@dataclass(frozen=True)
class Split:
    """What `split` returns.

    Parameters
    ----------
    parts : pandas.DataFrame
        A row per stratum, and if there are several one for `ALL`: the strata's columns as text; `n_problems`; pass@k before and after;
        `change`, which is that of pass@1; each of `names`; all with the ends of their intervals, `<name>_low` and `<name>_high`.
        Without told generations also `identified`, and the bounds `<name>_least` and `<name>_most`, which the intervals cover.
    strategies : pandas.DataFrame
        A row per stratum and strategy: shares with intervals, numbers of generations and pass rates before and after;
        `fate`, which is ``appears``, ``dies`` or empty. With told generations also the pass rates of models that were told it.
    by : list of str
        The strata's columns.
    names : list of str
        ``selection`` and ``improvement``, with told generations also ``sharpening`` and ``capability``.
    """

    parts: pd.DataFrame
    strategies: pd.DataFrame
    by: list[str]
    names: list[str]


def split(
    before: pd.DataFrame,
    after: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    *,
    strategies: dict | None = None,
    told_before: pd.DataFrame | None = None,
    told_after: pd.DataFrame | None = None,
    k: Sequence[int] = (1,),
    balanced: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    seed: int = 0,
    names: Sequence[str] = ("before", "after", "told_before", "told_after"),
) -> Split:
    """Split the change in pass@1 between two checkpoints on the same problems.

    Parameters
    ----------
    before, after : pandas.DataFrame
        A row per generation: `problem_id`, `strategy`, `correct`; optionally `sample`, which tells the generations for a problem apart.
    by : str or sequence of str, optional
        Columns that divide the problems; each stratum is split by itself.
    strategies : dict of str to re.Pattern, optional
        Name the strategies by patterns in the column `completion`; the first that is found counts.
    told_before, told_after : pandas.DataFrame, optional
        Generations whose strategy was prescribed: `problem_id`, `told`, `greedy`, `correct`. With them improvement is split into
        sharpening and capability (`mechanisms`), on the problems that they have.
    k : sequence of int
        For which k to estimate pass@k.
    balanced : sequence of str
        Columns of which each resample has the problems that the data have, such as a difficulty by which they were drawn.
    confidence : float
    n_bootstrap : int
        Resamples of problems.
    seed : int
        Of the resamples. Those of a stratum depend on its name, and on no other stratum.
    names : sequence of str
        What errors call the four tables.

    Returns
    -------
    Split

    Raises
    ------
    ParamsError
        In one line, with the table, the row and the column of the first mistake.
    """
    by = [by] if isinstance(by, str) else list(by or [])
    if not 0 < confidence < 1 or n_bootstrap < 1:
        raise ParamsError(
            f"confidence {confidence} should lie between 0 and 1, and {n_bootstrap} resamples be at least one"
        )
    columns = list(dict.fromkeys([*by, *balanced]))
    generations = [
        check_generations(table, name, columns, strategies)
        for name, table in zip(names[:2], (before, after), strict=True)
    ]
    check_same_problems(dict(zip(names, generations, strict=False)), columns)
    problems = generations[0].drop_duplicates("problem_id").set_index("problem_id")[columns]
    told = []
    if told_before is not None or told_after is not None:
        told = check_told(dict(zip(names[2:], (told_before, told_after), strict=True)), problems.index, names[0])
        problems = problems[problems.index.isin(told[0]["problem_id"])]
    # Rows in another order give the same draws.
    problems = problems.loc[sorted(problems.index, key=_natural)]
    generations = [table[table["problem_id"].isin(problems.index)] for table in generations]
    known = pd.Index(sorted(set().union(*(table["strategy"] for table in generations)), key=_natural))
    sides = [Observed.of(table, problems.index, known) for table in generations]
    _check_samples(k, sides, problems.index, names)
    prescribed = list(dict.fromkeys(told[0]["told"])) if told else []
    behaviours = (
        [Behaviour.of(*tables, prescribed, problems.index) for tables in zip(generations, told, strict=True)]
        if told
        else []
    )
    strata, groups = _members(problems, by), _numbers(problems, balanced)
    draws = {}
    for stratum, members in strata.items():
        own_seed = zlib.crc32("/".join([str(seed), *stratum]).encode())
        resampled = bootstrap_weights(groups[members], n_bootstrap, own_seed)
        draws[stratum] = _draw(
            np.vstack([np.ones(len(members)), resampled]),
            [side.at(members) for side in sides],
            [behaviour.at(members) for behaviour in behaviours],
            k,
        )
    if len(strata) > 1:
        if any(ALL in stratum for stratum in strata):
            raise ParamsError(f"{names[0]}: --by: '{ALL}' is what all strata together are called; give it another name")
        sizes = [len(members) for members in strata.values()]
        draws[(ALL,) * len(by)] = {
            name: np.average([cell[name] for cell in draws.values()], axis=0, weights=sizes)
            for name in next(iter(draws.values()))
        }
        strata[(ALL,) * len(by)] = np.arange(len(problems))
    parts = ["selection", "improvement", *(PARTS[1:] if told else [])]
    rows = [
        dict(zip(by, stratum, strict=True)) | {"n_problems": len(strata[stratum])} | _summary(cell, parts, confidence)
        for stratum, cell in draws.items()
    ]
    by_strategy = [
        dict(zip(by, stratum, strict=True)) | row
        for stratum, members in strata.items()
        for row in _describe_strategies(
            known, [side.at(members) for side in sides], prescribed, [one.at(members) for one in behaviours], confidence
        )
    ]
    return Split(pd.DataFrame(rows), pd.DataFrame(by_strategy), by, parts)


def _natural(text: str) -> tuple[int, str]:
    """Order 9 before 10, though they are text."""
    return (len(text) if text.isdecimal() else 0, text)


def _members(problems: pd.DataFrame, by: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    """Return the positions of the problems of each stratum, strata in order."""
    keys = list(map(tuple, problems[[*by]].to_numpy()))
    members: dict[tuple[str, ...], list[int]] = {
        key: [] for key in sorted(set(keys), key=lambda key: [*map(_natural, key)])
    }
    for position, key in enumerate(keys):
        members[key].append(position)
    return {key: np.array(positions) for key, positions in members.items()}


def _numbers(problems: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return for each problem the number of its stratum."""
    numbers = np.empty(len(problems), dtype=int)
    for number, positions in enumerate(_members(problems, columns).values()):
        numbers[positions] = number
    return numbers


def _check_samples(k: Sequence[int], sides: list[Observed], problems: pd.Index, names: Sequence[str]) -> None:
    for name, side in zip(names, sides, strict=False):
        fewest = side.n_samples.argmin()
        if not 1 <= min(k) <= max(k) <= side.n_samples[fewest]:
            raise ParamsError(
                f"{name}: --k: expected 1 to {side.n_samples[fewest]}, as many generations as problem {problems[fewest]} has, "
                f"found {' '.join(map(str, k))}"
            )


def _draw(
    weights: np.ndarray, sides: list[Observed], behaviours: list[Behaviour], k: Sequence[int]
) -> dict[str, np.ndarray]:
    """Estimate everything once for each row of weights."""
    draws = {}
    for one in dict.fromkeys((1, *k)):
        before, after = (side.pass_at(one) for side in sides)
        name = f"pass_at_{one}"
        draws |= {f"{name}_before": before.mean(), f"{name}_after": after.mean()}
        draws["change" if one == 1 else f"{name}_change"] = weights @ (after - before) / weights.sum(axis=1)
    return draws | (split_change(weights, *behaviours) if behaviours else split_observed(weights, *sides))


def _summary(draws: dict[str, np.ndarray], parts: list[str], confidence: float) -> dict[str, float]:
    """Turn draws, of which the first is the estimate, into estimates with intervals."""
    row = {}
    for name, drawn in draws.items():
        part, _, end = name.rpartition("_")
        if np.ndim(drawn) == 0:
            row[name] = float(drawn)
        elif end in ("least", "most") and part in parts:
            row[name] = float(drawn[0])
        else:
            least, most = (draws.get(f"{name}_{end}", drawn)[1:] for end in ("least", "most"))
            (low, _), (_, high) = (percentile_interval(bound, confidence) for bound in (least, most))
            row |= {name: float(drawn[0]), f"{name}_low": low, f"{name}_high": high}
    if "selection_least" in row:
        row["identified"] = row["selection_least"] == row["selection_most"]
    return row


def _describe_strategies(
    known: pd.Index, sides: list[Observed], prescribed: list[str], behaviours: list[Behaviour], confidence: float
) -> list[dict]:
    rows = []
    for number, strategy in enumerate(known):
        row = {"strategy": strategy}
        for when, side in zip(("before", "after"), sides, strict=True):
            used = side.taken[:, number] / side.n_samples
            low, high = proportion_interval(used, confidence, int(side.n_samples.sum()))
            row |= {f"share_{when}": used.mean(), f"share_{when}_low": low, f"share_{when}_high": high}
            passed = (side.passed[:, number] / side.n_samples).mean()
            row[f"pass_rate_{when}"] = float(rate_given(passed, used.mean()))
            row[f"n_{when}"] = int(side.taken[:, number].sum())
        if behaviours:
            for when, behaviour in zip(("before", "after"), behaviours, strict=True):
                told = behaviour.told[:, prescribed.index(strategy)].mean() if strategy in prescribed else np.nan
                row[f"told_{when}"] = told
        before, after = row["n_before"] > 0, row["n_after"] > 0
        row["fate"] = {(False, True): "appears", (True, False): "dies"}.get((before, after), "")
        rows.append(row)
    return rows
