"""The audit as one page: claims, Table 1, figures with their ancestors, generations, environments and costs.

``results/audit/index.html`` needs neither a network nor a server. It is a function of the plan and the artifacts alone,
so verification (`selectimprove.reports.verify`) makes it again and compares.
"""

import base64
import json
import math
from collections import Counter
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selectimprove.analysis.claims import Claim, ClaimTest, Quantity
from selectimprove.analysis.claims.judging import VERDICTS
from selectimprove.analysis.mechanisms import PARTS
from selectimprove.analysis.style import ALARMS, SCALE_NOTES, training_name
from selectimprove.artifacts.provenance import read_record
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.reports.excerpt import COLUMNS, PER_KIND, draw_excerpt, name_models

TEMPLATES = Path(__file__).parents[2] / "page"
# The stages behind a figure or table, the last one first.
LINEAGE = [stage for stage in reversed(STAGES) if stage not in ("verdicts", "exhibits")]
FILTERS = {"model": "Model", "type": "Problem type", "problems": "Problem set", "steps": "Number of steps"}
FILTERS |= {"strategy": "Strategy", "outcome": "Answer"}
VALUES = {
    "pass_at_1": "pass@1",
    "other": "share of neither strategy",
    "rollouts_excess": "share of the strategy that suits the first problem type, less that type's share, last rollouts",
    "cross_entropy": "logarithm of the cross-entropy on validation problems",
}
WIDTH, MARGIN = 320, 12
"""Width of a plot, and its margin on each side for the outermost tick labels, in the units of the plot."""


def claim_entries(plan: Plan, shown: dict[Artifact, str]) -> list[dict]:
    """List the claims by verdict, each with its tests, figures, tables and models.

    `shown` has the evaluations whose generations the page shows, with the names of their models there.
    """
    folder, exhibits = plan.verdicts.folder, plan.params.figures | plan.params.tables
    tests = pd.read_csv(folder / "tests.csv")
    entries = []
    for row in pd.read_csv(folder / "claims.csv", keep_default_na=False).to_dict("records"):
        claim = Claim.model_validate(plan.verdicts.config.claims[row["claim"]])
        found = tests[tests["claim"] == row["claim"]].to_dict("records")
        row |= {"follows_from": claim.follows_from, "follows_how": claim.follows_how}
        row["why_not"] = why_not_run(plan, claim)
        row["exhibits"] = [name for name in plan.audited if exhibits[name].experiment == claim.experiment]
        row["tests"] = show_tests(claim.tests, found) if found else []
        row["models"] = claimed_models(plan, claim, shown) if found else []
        entries.append(row)
    return sorted(entries, key=lambda entry: VERDICTS.index(entry["verdict"]))


def why_not_run(plan: Plan, claim: Claim) -> str:
    """Explain why a claim was not run."""
    if plan.params.scale not in (claim.scales or [plan.params.scale]):
        return f"compared at {' and '.join(claim.scales)} scale only"
    if claim.experiment not in plan.params.experiments:
        return f"needs the experiment {claim.experiment}"
    return "needs models or problems that this run does not have"


def claimed_models(plan: Plan, claim: Claim, shown: dict[Artifact, str]) -> list[dict]:
    """List the models that the tests of a claim compare, with their artifacts and their names on the page."""
    compared = {}
    for quantity in (quantity for test in claim.tests for quantity in test.quantities):
        # The parts of a change compare a model with the one before RL.
        before = [quantity.model_copy(update={"training": "sft"})] * (quantity.value in ("improvement", *PARTS))
        for model in (*before, quantity):
            compared.setdefault((model.variant, model.sft, model.training), name_model(model))
    models = []
    for model, title in compared.items():
        for seed in plan.verdicts.config.seeds[claim.experiment]:
            labels = plan.verdicts.inputs[f"labels/{claim.experiment}/{'/'.join(model)}/{seed}"]
            answered = labels.inputs["evaluation"]
            models.append({"title": title, "seed": seed, "shown": shown.get(answered), "generations": answered})
    return models


def name_model(quantity: Quantity) -> str:
    """Name the model of a quantity, such as ``FB after RL(6–9)``."""
    variant = "" if quantity.variant == "default" else f" ({quantity.variant})"
    return f"{quantity.sft} after {training_name(quantity.training)}{variant}"


def _measured(quantity: Quantity) -> str:
    value = VALUES.get(quantity.value, quantity.value if quantity.is_mechanism else f"share of {quantity.value}")
    if quantity.value in ("rollouts_excess", "cross_entropy"):
        return value
    if where := quantity.describe_where():
        return f"{value} on {where}"
    problem_type = "" if quantity.problem_type == "all" else f"{quantity.problem_type}, "
    return f"{value} on {problem_type}{quantity.problem_set.replace('-', '–')} steps"


def describe_test(test: ClaimTest) -> str:
    """Describe the comparison of a test, such as ``pass@1 on 6–9 steps: FB after RL(6–9) minus 85 %``."""
    measured, right = _measured(test.of), test.less
    left = f"{measured}: {name_model(test.of)}"
    if not isinstance(right, Quantity):
        return f"{left} minus {100 * right:g} %" if right else left
    of_other = "" if _measured(right) == measured else f"{_measured(right)} of "
    return f"{left} minus {of_other}{name_model(right)}"


def claimed_range(test: ClaimTest) -> tuple[float, float]:
    """Return the claimed range of the difference, in percentage points; a missing bound is infinite."""
    if test.above is not None:
        return 100 * test.above, math.inf
    if test.below is not None:
        return -math.inf, 100 * test.below
    return -100 * test.within, 100 * test.within


def describe_range(low: float, high: float) -> str:
    """Describe a claimed range: ``above +20``, ``below +5``, ``within ±5``."""
    if math.isinf(high):
        return f"above {low:+g}" if low else "above 0"
    return f"below {high:+g}" if math.isinf(low) else f"within ±{high:g}"


def choose_ticks(low: float, high: float) -> list[float]:
    """Choose up to eight round numbers that span a range and include zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (high - low) / s <= 6 or s == 50)
    return [step * number for number in range(math.floor(low / step), max(math.ceil(high / step), 1) + 1)]


def show_tests(tests: list[ClaimTest], outcomes: list[dict]) -> list[dict]:
    """Describe and plot the tests of a claim, each with its row of ``tests.csv``, on one axis.

    ``found`` says whether the interval lies ``inside`` the claimed range, ``outside`` or ``across`` a bound. Positions
    (``ticks``, ``zero``, ``claimed``, ``bounds``, ``interval``) are in the units of the plot.
    """
    ranges = [claimed_range(test) for test in tests]
    bounds = [bound for limits in ranges for bound in limits if math.isfinite(bound)]
    ends = [
        100 * outcome[end] for outcome in outcomes for end in ("low", "effect", "high") if math.isfinite(outcome[end])
    ]
    # A part of the claimed range beyond its bound stays visible.
    beyond = 0.1 * (max(0.0, *bounds, *ends) - min(0.0, *bounds, *ends))
    ticks = choose_ticks(min([*ends, *(b - beyond for b in bounds)]), max([*ends, *(b + beyond for b in bounds)]))

    def place(value: float) -> float:
        share = (min(max(value, ticks[0]), ticks[-1]) - ticks[0]) / (ticks[-1] - ticks[0])
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    shown = []
    for test, claimed, outcome in zip(tests, ranges, outcomes, strict=True):
        effect, low, high = (100 * outcome[name] for name in ("effect", "low", "high"))
        bounded = math.isfinite(low)
        inside, outside = claimed[0] < low and high < claimed[1], high < claimed[0] or low > claimed[1]
        shown.append(
            {
                "compares": describe_test(test),
                "claimed_range": describe_range(*claimed),
                "effect": effect,
                "low": low,
                "high": high,
                "bounded": bounded,
                "found": "inside" if inside else "outside" if outside else "across",
                "ticks": [(place(tick), f"{tick:+g}" if tick else "0") for tick in ticks],
                "zero": place(0.0),
                "claimed": (place(claimed[0]), place(claimed[1])),
                "bounds": [place(bound) for bound in claimed if math.isfinite(bound)],
                "interval": tuple(map(place, (low, effect, high) if bounded else (effect, effect, effect))),
            }
        )
    return shown


def table_1(plan: Plan, shown: dict[Artifact, str]) -> list[dict]:
    """List the rows of Table 1, each number with the filters that show its generations; none if it is not drawn."""
    if "table1" not in plan.tables:
        return []
    table = pd.read_csv(plan.tables["table1"].folder / "table1.csv")
    models = {str(generations.folder): (generations, name) for generations, name in shown.items()}
    rows = []
    for (sft, training), group in table.groupby(["sft", "training"], sort=False):
        cells = {row["problem_type"]: row for row in group.to_dict("records")}
        for problem_type, cell in cells.items():
            wanted = {"problems": "6-9"} | ({} if problem_type == "all" else {"type": problem_type})
            found = map(models.get, cell["generations"].split())
            cell["shown"] = [{"seed": each.config.seed, "query": {"model": name} | wanted} for each, name in found]
        cells = [cells[problem_type] for problem_type in ("all", "inversion", "evaluation")]
        rows.append({"sft": sft, "training": training_name(training), "cells": cells})
    return rows


def read_rows(markdown: str) -> list[list[str]]:
    """Read the header and the rows of a table in Markdown."""
    lines = [line.strip().strip("|") for line in markdown.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [row for row in rows if not all(set(cell) <= set(":-") for cell in row)]


def exhibit_entries(plan: Plan, records: dict[Artifact, dict], environments: dict[Artifact, int]) -> list[dict]:
    """List figures and tables, each with its caption, its picture or rows, and its ancestors by stage."""
    entries = []
    for name, artifact in plan.audited.items():
        sources = collect_ancestors([artifact])
        caption, _, alarms = (artifact.folder / "caption.rst").read_text(encoding="utf-8").strip().partition(ALARMS)
        picture, body = artifact.folder / f"{name}.svg", artifact.folder / "body.md"
        chain = [(stage, [source for source in sources if source.stage == stage]) for stage in LINEAGE]
        entries.append(
            {
                "name": name,
                "kind": "figures" if name in plan.all_figures else "tables",
                "extra": name in plan.extras,
                "artifact": artifact,
                "caption": caption,
                "alarms": [line.removeprefix("- ") for line in alarms.splitlines()],
                "picture": base64.b64encode(picture.read_bytes()).decode() if picture.exists() else None,
                "rows": read_rows(body.read_text(encoding="utf-8")) if body.exists() else None,
                "chain": [{"stage": STAGES[stage], "artifacts": found} for stage, found in chain if found],
                "environments": sorted({environments[source] for source in sources}),
                "commits": sorted({records[source]["commit"] or "unknown" for source in sources}),
            }
        )
    return entries


def number_environments(records: dict[Artifact, dict]) -> tuple[dict[Artifact, int], list[dict]]:
    """Count the environments that artifacts were made in, and number them from 1, the most frequent first."""
    described = {
        artifact: json.dumps({name: record[name] for name in ("machine", "versions")}, sort_keys=True)
        for artifact, record in records.items()
    }
    counted = Counter(described.values()).most_common()
    place = {description: number for number, (description, _) in enumerate(counted, start=1)}
    environments = [json.loads(description) | {"n": n} for description, n in counted]
    return {artifact: place[description] for artifact, description in described.items()}, environments


def stage_entries(records: dict[Artifact, dict], environments: dict[Artifact, int]) -> list[dict]:
    """List the stages in the order in which data flow, each with its artifacts and their costs."""
    entries = []
    for stage in STAGES:
        rows = [
            {
                "artifact": artifact,
                "config": json.dumps(artifact.config.model_dump(mode="json"), indent=1, ensure_ascii=False),
                "provenance": records[artifact],
                "environment": environments[artifact],
            }
            for artifact in sorted((a for a in records if a.stage == stage), key=lambda artifact: artifact.name)
        ]
        if rows:
            seconds = [row["provenance"]["seconds"] for row in rows]
            memory = max(row["provenance"]["peak_memory_mib"] for row in rows)
            costs = {"total": sum(seconds), "longest": max(seconds), "memory": memory}
            entries.append({"stage": stage, "rows": rows} | costs)
    return entries


def write_page(plan: Plan) -> str:
    """Return the page of a plan whose figures, tables and verdicts are made, as HTML."""
    ends = (*plan.audited.values(), plan.verdicts)
    records = {artifact: read_record(artifact.done) for artifact in collect_ancestors(ends)}
    numbers, environments = number_environments(records)
    models = name_models([artifact for artifact in records if artifact.stage == "measures"])
    shown = {labels.inputs["evaluation"]: name for labels, name in models.items()}
    claims, excerpt = claim_entries(plan, shown), draw_excerpt(models)
    rows = json.dumps({"columns": COLUMNS, "rows": excerpt.rows}, separators=(",", ":"), ensure_ascii=False)
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.trim_blocks = templates.lstrip_blocks = True
    return templates.get_template("index.html.jinja").render(
        scale=SCALE_NOTES.get(plan.params.scale, f"{plan.params.scale} scale"),
        confidence=plan.params.statistics.confidence,
        seeds=plan.params.seeds,
        results=RESULTS,
        audit=plan.verdicts,
        plot_width=WIDTH,
        claims=claims,
        verdicts=[(verdict, sum(claim["verdict"] == verdict for claim in claims)) for verdict in VERDICTS],
        table=table_1(plan, shown),
        exhibits=exhibit_entries(plan, records, numbers),
        stages=stage_entries(records, numbers),
        n_resumed=sum(bool(record.get("resumed")) for record in records.values()),
        environments=environments,
        commits=Counter(record["commit"] or "unknown" for record in records.values()).most_common(),
        # A closing tag in a row would end the script element.
        excerpt_rows=rows.replace("<", "\\u003c"),
        excerpt=excerpt,
        n_models=len(models),
        per_kind=PER_KIND,
        filters=FILTERS.items(),
    )
