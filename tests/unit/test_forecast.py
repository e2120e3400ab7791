"""What `selectimprove plan` says of a run: what it would make, why, and how long that takes."""

import json
from collections import Counter

import pytest

from conftest import ROOT, laptop_plan
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import collect_ancestors, root_of, snakemake_command
from selectimprove.dag.costs import COLUMNS, costs_file, expected_seconds
from selectimprove.dag.forecast import explain, forecast
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

PLAN = laptop_plan()


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch) -> None:
    """A folder without results."""
    monkeypatch.chdir(tmp_path)


def make(*artifacts, **record) -> None:
    for artifact in artifacts:
        artifact.folder.mkdir(parents=True, exist_ok=True)
        artifact.done.write_text(json.dumps({"source": artifact.source, "files": {}} | record))
        (artifact.folder / "config.json").write_text(json.dumps(artifact.config.model_dump(mode="json")))


def write_costs(*rows: tuple) -> None:
    path = costs_file("laptop")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([",".join(COLUMNS), *(",".join(map(str, (*row, 90, "EPYC"))) for row in rows)]) + "\n")


def test_all_that_a_figure_needs_is_to_be_made_until_it_is_there():
    figure = PLAN.all_figures["figure2"]
    needed = collect_ancestors([figure])
    stages = Counter(artifact.stage for artifact in needed)
    lines = forecast(PLAN, 1, ["figure2"]).splitlines()
    in_order = [stage for stage in PLAN.artifacts if stage in stages]
    assert lines[:-2:2] == [f"{stage}: {stages[stage]} of {stages[stage]} to make" for stage in in_order]
    assert lines[1:-2:2] == [f"    {stages[stage]} × never made" for stage in in_order]
    assert lines[-2:] == [
        "figures and tables to draw: figure2",
        f"time unknown, since none was recorded at this scale: {', '.join(sorted(stages))}",
    ]
    # What is behind a finished artifact is not needed.
    make(*figure.inputs.values())
    assert forecast(PLAN, 1, ["figure2"]).splitlines()[0] == "exhibits: 1 of 1 to make"
    make(figure)
    assert forecast(PLAN, 1, ["figure2"]).startswith("Nothing to make: ")


def test_by_default_all_figures_and_tables_that_are_drawn_are_forecast_and_with_the_audit_the_verdicts():
    drawn = next(line for line in forecast(PLAN, 1).splitlines() if line.startswith("figures and tables to draw: "))
    assert drawn.partition(": ")[2].split(", ") == [*PLAN.exhibits]
    make(*collect_ancestors(PLAN.exhibits.values()))
    assert forecast(PLAN, 1).startswith("Nothing to make")
    # Its claims are tested on an extra too.
    make(*collect_ancestors([PLAN.extras["controls"]]))
    said = forecast(PLAN, 1, ["audit"]).splitlines()
    assert said[0].startswith("verdicts: 1 of ")
    assert "figures and tables to draw: none" in said


def test_a_figure_that_is_not_drawn_by_default_is_refused_if_the_params_lack_what_it_needs():
    lacking = {"experiments": {"controls": {"rl_problems": ["rl_2_5"]}}, "figures": {"controls": {"draw": False}}}
    plan = Plan(load_params(ROOT / "params.yaml", lacking))
    assert "controls" not in forecast(plan, 1)
    with pytest.raises(ParamsError, match=r"figures\.controls"):
        forecast(plan, 1, ["controls"])


def test_the_time_of_a_run_is_that_of_its_longest_chain_or_of_its_cores_and_gpus():
    needed = collect_ancestors([PLAN.all_figures["figure2"]])
    stages = Counter(artifact.stage for artifact in needed)
    n = len(needed)
    write_costs(*((stage, "other-0123456789", 600) for stage in stages))
    assert expected_seconds("laptop", needed) == dict.fromkeys(needed, 600.0)

    def time(cores: int, plan: Plan = PLAN, gpus: int = 1) -> str:
        return forecast(plan, cores, ["figure2"], gpus).splitlines()[-1]

    # Problems, demonstrations or a base model, SFT, RL, evaluation, labels, measures and the figure.
    assert time(999) == f"time: {n / 6:.1f} h of jobs, about 80 min on 999 cores"
    assert time(1) == f"time: {n / 6:.1f} h of jobs, about {n / 6:.1f} h on 1 core"
    train = {"resources": {"train": {"gpus": 1}}}
    with_gpus = Plan(load_params(ROOT / "params.yaml", train))
    n_gpus = sum(artifact.stage in ("base", "sft", "rl") for artifact in needed)
    assert time(999, with_gpus) == f"time: {n / 6:.1f} h of jobs, about {n_gpus / 6:.1f} h on 999 cores and 1 GPU"
    assert time(999, with_gpus, 2).endswith("about 80 min on 999 cores and 2 GPUs")


def test_stages_without_a_recorded_time_are_named_beside_the_time_of_the_others():
    write_costs(("sft", "other-0123456789", 60))
    *_, time, unknown = forecast(PLAN, 2, ["figure2"]).splitlines()
    n = sum(artifact.stage == "sft" for artifact in collect_ancestors([PLAN.all_figures["figure2"]]))
    assert time == f"time: {n} min of jobs, about {n / 2:.0f} min on 2 cores"
    assert unknown.startswith("time unknown, since none was recorded at this scale: base, ")
    assert "sft" not in unknown


def test_an_artifact_is_compared_with_the_most_similar_one_of_its_slug():
    sft = next(iter(PLAN.artifacts["sft"].values()))
    config = sft.config.model_dump(mode="json")

    def leave(name: str, **changes) -> None:
        folder = sft.folder.with_name(name)
        folder.mkdir(parents=True)
        inputs = {role: source.name for role, source in sft.inputs.items()}
        record = {"source": sft.source | changes.pop("source", {}), "inputs": inputs | changes.pop("inputs", {})}
        (folder / "provenance.json").write_text(json.dumps(record))
        (folder / "config.json").write_text(json.dumps(config | changes))

    leave("another-0000000000", learning_rate=1.0)
    assert explain(sft) == "never made"
    leave(f"{sft.slug}-1111111111", learning_rate=1.0, batch_size=1)
    said = f"sft.batch_size 1 → {config['batch_size']}; sft.learning_rate 1.0 → {config['learning_rate']}"
    assert explain(sft) == f"{said}, against {sft.slug}-1111111111"
    leave(f"{sft.slug}-2222222222", source={"training.trainer": "older"})
    assert explain(sft) == f"source of training/trainer.py, against {sft.slug}-2222222222"
    leave(f"{sft.slug}-3333333333")
    assert explain(sft) == f"source, against {sft.slug}-3333333333"


def test_a_reason_names_four_differences_and_shortens_long_values_and_names_inputs_that_went():
    sft = next(iter(PLAN.artifacts["sft"].values()))
    config = sft.config.model_dump(mode="json")
    numbers = [name for name, value in config.items() if isinstance(value, int | float)]
    folder = sft.folder.with_name(f"{sft.slug}-1111111111")
    folder.mkdir(parents=True)

    def reasons(config: dict, **inputs: str) -> list[str]:
        inputs |= {role: source.name for role, source in sft.inputs.items()}
        (folder / "provenance.json").write_text(json.dumps({"source": sft.source, "inputs": inputs}))
        (folder / "config.json").write_text(json.dumps(config))
        said, _, against = explain(sft).partition(", against ")
        assert against == folder.name
        return said.split("; ")

    long = f"system_prompt {'x' * 39}… → None"
    assert reasons(config | {"system_prompt": "x" * 41}, adapter="older") == [long, "no input adapter"]
    for n in (4, 5):
        said = reasons(config | dict.fromkeys(numbers[:n], "x" * 40))
        assert all("x" * 40 in part for part in said[:4])
        assert said[4:] == ["…"] * (n - 4)


@pytest.mark.parametrize("n", [3, 4])
def test_inputs_of_a_kind_are_named_up_to_three_and_counted_beyond(n):
    measures = PLAN.measures["main"]
    make(measures)
    record = json.loads(measures.done.read_text())
    new = [role for role in measures.inputs if role.startswith("labels/")][:n]
    inputs = {role: "older" if role in new else source.name for role, source in measures.inputs.items()}
    folder = measures.folder.rename(measures.folder.with_name("main-0123456789"))
    (folder / "provenance.json").write_text(json.dumps(record | {"inputs": inputs}))
    words = [" ".join(role.split("/")[2:]) for role in new]
    named = f"new labels ({' and '.join(words)})" if n == 3 else "4 new labels"
    assert explain(measures) == f"{named}, against main-0123456789"


def test_scales_other_than_the_default_have_folders_and_commands_of_their_own():
    assert [str(root_of(scale)) for scale in ("laptop", "paper")] == ["results", "results/paper"]
    assert (
        snakemake_command("laptop", "figures") == snakemake_command(None, "figures") == "snakemake --cores all figures"
    )
    assert snakemake_command("paper", "a", "b") == "snakemake --cores all a b --config scale=paper"
