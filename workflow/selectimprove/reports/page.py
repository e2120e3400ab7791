"""The page of the audit: claims, Table 1, figures with their ancestors, generations, environments and costs.

It needs no network and no server. It is a function of the plan and the artifacts, so `verify` can make it again.
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
# The stages behind a figure or table, last one first.
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
"""Width of a plot, and its margin on each side, which holds half a tick label, in the units of the plot."""


def claim_entries(plan: Plan, shown: dict[Artifact, str]) -> list[dict]:
    """List the claims by verdict; `shown` has the names of models on the page, by evaluation."""
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
    if claim.experiment not in plan.audited_experiments:
        return f"this audit is of {', '.join(plan.audited_experiments)} only (audit.experiments)"
    return "needs models or problems that this run does not have"


def claimed_models(plan: Plan, claim: Claim, shown: dict[Artifact, str]) -> list[dict]:
    """List the models that a claim's tests compare, with their artifacts and their names on the page."""
    compared = {}
    for quantity in (quantity for test in claim.tests for quantity in test.quantities):
        # The parts of a change also concern the model before RL.
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
    """Describe and plot the tests of a claim on one axis, given their rows of ``tests.csv``."""
    ranges = [claimed_range(test) for test in tests]
    bounds = [bound for limits in ranges for bound in limits if math.isfinite(bound)]
    measured = [{name: 100 * outcome[name] for name in ("low", "effect", "high")} for outcome in outcomes]
    ends = [value for values in measured for value in values.values() if math.isfinite(value)]
    # The axis shows a part of the claimed range beyond its bound.
    beyond = 0.1 * (max(0.0, *bounds, *ends) - min(0.0, *bounds, *ends))
    ticks = choose_ticks(min([*ends, *(b - beyond for b in bounds)]), max([*ends, *(b + beyond for b in bounds)]))

    def place(value: float) -> float:
        share = (min(max(value, ticks[0]), ticks[-1]) - ticks[0]) / (ticks[-1] - ticks[0])
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    shown = []
    for test, claimed, values in zip(tests, ranges, measured, strict=True):
        low, effect, high = values["low"], values["effect"], values["high"]
        bounded = math.isfinite(low)
        inside, outside = claimed[0] < low and high < claimed[1], high < claimed[0] or low > claimed[1]
        shown.append(
            values
            | {
                "compares": describe_test(test),
                "claimed_range": describe_range(*claimed),
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
    """List the rows of Table 1, if it is drawn; each number has the filters that show its generations."""
    if "table1" not in plan.audited:
        return []
    table = pd.read_csv(plan.audited["table1"].folder / "table1.csv")
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
        picture, body = artifact.folder / f"{name}.svg", artifact.folder / "body.md"
        table = body.read_text(encoding="utf-8") if body.exists() else ""
        text = (artifact.folder / f"{name}.md").read_text(encoding="utf-8").removesuffix(table)
        caption, _, alarms = text.strip().partition(ALARMS)
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
                "rows": read_rows(table) if table else None,
                "chain": [{"stage": STAGES[stage], "artifacts": found} for stage, found in chain if found],
                "environments": sorted({environments[source] for source in sources}),
                "commits": sorted({records[source]["commit"] or "unknown" for source in sources}),
            }
        )
    return entries


def number_environments(records: dict[Artifact, dict]) -> tuple[dict[Artifact, int], list[dict]]:
    """Give each environment a number from 1, the most frequent first, and count its artifacts."""
    described = {
        artifact: json.dumps({name: record[name] for name in ("machine", "versions")}, sort_keys=True)
        for artifact, record in records.items()
    }
    counted = Counter(described.values()).most_common()
    place = {description: number for number, (description, _) in enumerate(counted, start=1)}
    environments = [json.loads(description) | {"n": n} for description, n in counted]
    return {artifact: place[description] for artifact, description in described.items()}, environments


def write_page(plan: Plan) -> str:
    """Return the page as HTML; figures, tables and verdicts have to be made."""
    ends = (*plan.audited.values(), plan.verdicts)
    records = {artifact: read_record(artifact.done) for artifact in collect_ancestors(ends)}
    numbers, environments = number_environments(records)
    stages: dict[str, dict[Artifact, dict]] = {}
    for artifact in sorted(records, key=lambda artifact: (list(STAGES).index(artifact.stage), artifact.name)):
        stages.setdefault(artifact.stage, {})[artifact] = records[artifact]
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
        stages=stages,
        records=records,
        numbers=numbers,
        resumed=[record for record in records.values() if record.get("resumed")],
        dumps=json.dumps,
        environments=environments,
        commits=Counter(record["commit"] or "unknown" for record in records.values()).most_common(),
        # A closing tag in a row would end the script element.
        excerpt_rows=rows.replace("<", "\\u003c"),
        excerpt=excerpt,
        n_models=len(models),
        per_kind=PER_KIND,
        filters=FILTERS.items(),
    )
