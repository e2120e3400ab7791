"""The audit as one page: claims, Table 1, figures with their chains, generations, environment and costs.

``results/audit/index.html`` needs neither a network nor a server. It is a function of the plan and of the artifacts alone, so that
`selectimprove.verify` can make it again.
"""

import base64
import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selectimprove.plan import MODULES, Artifact, Plan
from selectimprove.verdicts import VERDICTS

TEMPLATES = Path(__file__).parents[1] / "page"
SHOWN_PER_CELL = 3
"""Generations shown of each model, problem type, number of steps and outcome; the rest is in Parquet."""


def claim_rows(plan: Plan) -> list[dict]:
    """List the claims, each with its tests."""
    tests = defaultdict(list)
    for row in pd.read_csv(plan.audit.folder / "tests.csv").to_dict("records"):
        tests[row["claim"]].append(row | {"plot": interval_plot(row)})
    claims = pd.read_csv(plan.audit.folder / "claims.csv", keep_default_na=False).to_dict("records")
    order = {verdict: number for number, verdict in enumerate(VERDICTS)}
    return [row | {"tests": tests[row["claim"]]} for row in sorted(claims, key=lambda row: order[row["verdict"]])]


def interval_plot(test: dict) -> dict:
    """Place an effect, its interval and where the claim has it on an axis from -100 to 100 points.

    Returns
    -------
    dict
        ``effect``, ``low`` and ``high``, and the claimed range as ``claimed_low`` and ``claimed_high``, all in percent.
    """
    *_, bound, value = test["test"].split()
    margin = 100 * float(value)
    claimed = {"above": (margin, 100), "below": (-100, margin), "within": (-margin, margin)}[bound]
    inside = {key: max(-100.0, min(100.0, 100 * test[key])) for key in ("effect", "low", "high")}
    return inside | {"claimed_low": claimed[0], "claimed_high": claimed[1]}


def table_1(plan: Plan) -> list[dict]:
    """List the rows of Table 1, percent, with the paper's; none if it is not drawn."""
    if "table1" not in plan.tables:
        return []
    table = pd.read_csv(plan.tables["table1"].folder / "table1.csv")
    rows = []
    for (sft, training), group in table.groupby(["sft", "training"]):
        cells = {row["problem_type"]: row for row in group.to_dict("records")}
        rows.append({"sft": sft, "training": training, "cells": [cells[t] for t in ("all", "inversion", "evaluation")]})
    return rows


def _chain(artifact: Artifact, found: dict[str, Artifact]) -> dict[str, Artifact]:
    found.setdefault(f"{artifact.stage}/{artifact.name}", artifact)
    for source in artifact.inputs.values():
        _chain(source, found)
    return found


def figure_entries(plan: Plan) -> list[dict]:
    """List figures and tables with their caption, their picture or rows, and all that they were made from, by stage."""
    entries = []
    for kind, exhibits in (("figures", plan.figures), ("tables", plan.tables)):
        for name, artifact in exhibits.items():
            chain = defaultdict(list)
            for source in _chain(artifact, {}).values():
                chain[source.stage].append(source)
            picture, body = artifact.folder / f"{name}.svg", artifact.folder / "body.md"
            entries.append(
                {
                    "name": name,
                    "kind": kind,
                    "caption": (artifact.folder / "caption.rst").read_text(),
                    "picture": base64.b64encode(picture.read_bytes()).decode() if picture.exists() else None,
                    "rows": body.read_text() if body.exists() else None,
                    "data": f"{kind}/{name}.csv",
                    "chain": [(stage, chain[stage]) for stage in reversed(MODULES) if chain[stage]],
                }
            )
    return entries


def artifact_entries(plan: Plan) -> list[dict]:
    """Describe every artifact that the exhibits and the verdicts were made from, in the order in which data flow."""
    found: dict[str, Artifact] = {}
    for artifact in (*plan.figures.values(), *plan.tables.values(), plan.audit):
        _chain(artifact, found)
    stages = list(MODULES)
    entries = []
    for artifact in sorted(found.values(), key=lambda artifact: (stages.index(artifact.stage), artifact.name)):
        provenance = json.loads(artifact.done.read_text())
        config = json.dumps(artifact.config.model_dump(mode="json"), indent=1)
        entries.append({"artifact": artifact, "stage": artifact.stage, "config": config, "provenance": provenance})
    return entries


def environment_rows(entries: list[dict]) -> dict:
    """Collect the versions, machines and commits under which the artifacts were made, most frequent first."""
    provenances = [entry["provenance"] for entry in entries]
    versions = Counter((package, v) for p in provenances for package, v in p["versions"].items())
    machines = Counter(" · ".join(str(p["machine"][k]) for k in ("system", "processor", "cores")) for p in provenances)
    commits = Counter(str(p["commit"]) for p in provenances)
    return {
        name: counter.most_common()
        for name, counter in zip(("versions", "machines", "commits"), (versions, machines, commits), strict=True)
    }


def cost_rows(entries: list[dict]) -> list[dict]:
    """Sum what the artifacts of each stage cost when they were made."""
    rows = []
    for stage in MODULES:
        provenances = [entry["provenance"] for entry in entries if entry["stage"] == stage]
        if provenances:
            rows.append(
                {
                    "stage": stage,
                    "n": len(provenances),
                    "minutes": sum(p["seconds"] for p in provenances) / 60,
                    "memory": max(p["peak_memory_mib"] for p in provenances),
                }
            )
    return rows


def sample_generations(artifacts: list[Artifact]) -> tuple[list[dict], int]:
    """Draw the generations to show of every model, at its last checkpoint.

    Parameters
    ----------
    artifacts : list of Artifact
        Of the stage ``labels``.

    Returns
    -------
    rows : list of dict
        A few of each problem type, number of steps and outcome, the same in every call.
    n : int
        How many there are in all.
    """
    slugs = Counter(artifact.slug for artifact in artifacts)
    rows, n = [], 0
    for artifact in artifacts:
        labels = pd.read_parquet(artifact.folder / "generations.parquet")
        n += len(labels)
        labels = labels[labels["rl_step"] == labels["rl_step"].max()]
        prompts = {
            role: pd.read_parquet(source.folder / "problems.parquet").set_index("problem_id")[["prompt", "answer"]]
            for role, source in artifact.inputs.items()
            if role in set(labels["problem_set"])
        }
        # Models of one slug, variants of an experiment, are told apart by their keys.
        model = artifact.slug if slugs[artifact.slug] == 1 else artifact.name
        rng = random.Random(artifact.slug)
        for _, group in labels.groupby(["problem_type", "n_steps", "correct"]):
            for number in sorted(rng.sample(range(len(group)), min(SHOWN_PER_CELL, len(group)))):
                row = group.iloc[number]
                problem = prompts[row["problem_set"]].loc[row["problem_id"]]
                marks = zip(row["step_in_order"], row["step_right"], strict=True)
                rows.append(
                    {
                        "model": model,
                        "type": row["problem_type"],
                        "steps": int(row["n_steps"]),
                        "strategy": row["strategy"],
                        "correct": bool(row["correct"]),
                        "prompt": problem["prompt"],
                        "answer": f"e{problem['answer']}",
                        "response": row["completion"].strip(),
                        "marks": "".join("1" if ordered and right else "0" for ordered, right in marks),
                        "error": row["first_error"],
                    }
                )
    return rows, n


def write_page(plan: Plan) -> str:
    """Return the page, as HTML.

    Parameters
    ----------
    plan : Plan
        Whose exhibits and verdicts are made.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    entries = artifact_entries(plan)
    generations, n_generations = sample_generations(
        [entry["artifact"] for entry in entries if entry["stage"] == "labels"]
    )
    claims = claim_rows(plan)
    # No closing tag may end the script element that holds the rows.
    rows = json.dumps(generations, separators=(",", ":")).replace("<", "\\u003c")
    return environment.get_template("index.html.jinja").render(
        scale=plan.params.scale,
        seeds=plan.params.seeds,
        claims=claims,
        verdicts=[(verdict, sum(claim["verdict"] == verdict for claim in claims)) for verdict in VERDICTS],
        table=table_1(plan),
        figures=figure_entries(plan),
        artifacts=entries,
        environment=environment_rows(entries),
        costs=cost_rows(entries),
        rows=rows,
        n_shown=len(generations),
        n_generations=n_generations,
        filters={
            "model": sorted({row["model"] for row in generations}),
            "type": sorted({row["type"] for row in generations}),
            "steps": sorted({row["steps"] for row in generations}),
            "strategy": sorted({row["strategy"] for row in generations}),
            "correct": ["right", "wrong"],
        },
    )
