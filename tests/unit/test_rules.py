"""What Snakemake's rules are told: inputs, priorities and commands of stages and of what is published."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import Wildcards

from conftest import ROOT, laptop_plan
from selectimprove.artifacts.runner import parse
from selectimprove.config.loading import load_params
from selectimprove.dag import rules
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import StageRule, audit_publication, experiment_priority, publications
from selectimprove.dag.table import STAGES
from selectimprove.reports.publish import publish_exhibit

PLAN = laptop_plan()
SMOKE = Plan(load_params(ROOT / "params.yaml", {"scale": "smoke"}))
RULES = {name: StageRule(PLAN, stage, "python") for name, stage in STAGES.items()}
ALL = [artifact for of_stage in PLAN.artifacts.values() for artifact in of_stage.values()]


def wildcards(name: str) -> Wildcards:
    return Wildcards(fromdict={"name": name})


def priority(artifact) -> int:
    return RULES[artifact.stage].priority(wildcards(artifact.name))


def test_an_artifact_is_made_after_its_inputs_and_before_later_experiments():
    # Figures of claims are drawn from the models of many experiments.
    others = [artifact for artifact in ALL if artifact.stage not in ("verdicts", "exhibits")]
    assert all(priority(source) >= priority(artifact) for artifact in others for source in artifact.inputs.values())
    last = 1000 * len(PLAN.measures)
    for measures in PLAN.measures.values():
        # No stage adds as much as an experiment does.
        assert last - 1000 < priority(measures) <= last
        last = priority(measures) - 1000
    assert experiment_priority(PLAN, -1) > max(map(priority, ALL))
    # Verdicts that no figure shows come after all.
    alone = Plan(PLAN.params)
    alone.all_figures = {}
    assert StageRule(alone, STAGES["verdicts"], "python").priority(wildcards(alone.verdicts.name)) == 0 <= last


def test_base_models_are_first_among_trainings_and_data_before_them():
    of_main = PLAN.measures["main"].inputs
    chain = [of_main["labels/default/FB/rl_6_9/110"]]
    while sources := [*chain[-1].inputs.values()]:
        chain.append(next((s for s in sources if s.stage in ("evaluation", "rl", "sft", "base")), sources[0]))
    assert [artifact.stage for artifact in chain] == ["labels", "evaluation", "rl", "sft", "base"]
    above = [priority(artifact) - priority(chain[0]) for artifact in chain]
    assert above == sorted(above)
    assert above[1] < above[2] < above[3] < above[4] < priority(chain[2].inputs["problems"]) - priority(chain[0])


@pytest.mark.parametrize("stage", [stage for stage, artifacts in PLAN.artifacts.items() if artifacts])
def test_a_stages_command_gives_it_the_config_inputs_and_key_that_were_planned(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(PLAN.artifacts[stage].values()))
    for source in artifact.inputs.values():
        source.folder.mkdir(parents=True, exist_ok=True)
    word, *words = shlex.split(RULES[stage].command(wildcards(artifact.name)))
    # No job takes a GPU at this scale, so none may see one.
    assert word == "CUDA_VISIBLE_DEVICES="
    assert words[:3] == ["python", "-m", f"selectimprove.stages.{stage}"]
    config, inputs, options = parse(STAGES[stage].config, None, words[3:])
    assert config == artifact.config
    assert inputs == {role: source.folder for role, source in artifact.inputs.items()}
    assert (options.output, options.key) == (artifact.folder, artifact.digest)
    marks = [str(source.folder / "provenance.json") for source in artifact.inputs.values()]
    assert RULES[stage].inputs(wildcards(artifact.name)) == marks


def test_a_job_with_a_gpu_sees_it():
    params = load_params(ROOT / "params.yaml", {"resources": {"train": {"gpus": 1}}})
    plan = Plan(params)
    rule = StageRule(plan, STAGES["sft"], "python")
    assert rule.resources == params.resources.train
    assert rule.command(wildcards(next(iter(plan.artifacts["sft"])))).startswith("python ")


def test_an_artifact_that_is_not_planned_is_named():
    with pytest.raises(WorkflowError, match="results/sft/FB-0123456789: not in the current plan"):
        RULES["sft"].artifact(wildcards("FB-0123456789"))


@pytest.mark.parametrize(("plan", "root"), [(PLAN, Path("results")), (SMOKE, Path("results/smoke"))])
def test_every_figure_and_table_is_published_with_a_record_of_its_key(plan, root):
    found = publications(plan)
    assert found.keys() == plan.all_exhibits.keys()
    for name, publication in found.items():
        artifact = plan.all_exhibits[name]
        kind, suffixes = ("figures", "png pdf svg csv md") if name in plan.all_figures else ("tables", "csv md")
        files = [root / kind / f"{name}.{suffix}" for suffix in suffixes.split()]
        assert publication.files == files
        assert publication.copies == {file: artifact.folder / file.name for file in files}
        assert publication.record == root / f"published/{artifact.name}.json"
        assert publication.outputs == [str(path) for path in (*files, publication.record)]
        assert publication.wanted == [*publication.outputs, str(artifact.done)]
        scale = "" if plan is PLAN else " --config scale=smoke"
        assert publication.remedy == f"snakemake --cores all --force publish_{name}{scale}"
    audit = audit_publication(plan)
    assert [str(file.relative_to(root)) for file in audit.files] == [
        *("audit/claims.csv", "audit/tests.csv", "audit/index.html")
    ]
    assert audit.copies == {root / f"audit/{name}": plan.verdicts.folder / name for name in ("claims.csv", "tests.csv")}
    assert audit.inputs(wildcards("")) == [str(a.done) for a in (plan.verdicts, *plan.audited.values())]


def test_a_figure_whose_notebook_lacks_something_is_refused_when_it_is_asked_for():
    lacking = {"experiments": {"controls": {"rl_problems": ["rl_2_5"]}}, "figures": {"controls": {"draw": False}}}
    found = publications(Plan(load_params(ROOT / "params.yaml", lacking)))
    with pytest.raises(WorkflowError, match=r"params\.yaml: figures\.controls.*rl_6_9"):
        found["controls"].inputs(wildcards(""))
    (figure2,) = found["figure2"].artifacts
    assert found["figure2"].inputs(wildcards("")) == [str(figure2.done)]


def test_the_command_of_a_publication_copies_its_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = publications(SMOKE)["table1"]
    folder = table.artifacts[0].folder
    python, *words = shlex.split(table.command("python"))
    head = ["-m", "selectimprove.reports.publish", "--exhibit", str(folder), "--root", "results/smoke"]
    assert [python, *words] == ["python", *head, *map(str, table.files)]
    folder.mkdir(parents=True)
    for file in table.files:
        (folder / file.name).write_text(file.name)
    (folder / "provenance.json").write_text('{"files": {}, "inputs": {}}')
    publish_exhibit(folder, table.files, table.root)
    assert all(Path(output).is_file() for output in table.outputs)


def test_the_audit_is_another_when_what_it_shows_or_its_look_is(tmp_path, monkeypatch):
    audit = audit_publication(PLAN)
    words = shlex.split(audit.command("python"))
    assert words[3] == "--audit"
    assert type(PLAN.params).model_validate_json(words[4]) == PLAN.params
    assert words[5:] == ["--key", audit.key]
    figure = next(iter(PLAN.exhibits))
    changed = replace(PLAN.all_figures[figure], slug=f"{figure}x")
    with monkeypatch.context() as patch:
        patch.setitem(PLAN.all_figures, figure, changed)
        assert audit_publication(PLAN).key != audit.key
    assert audit_publication(PLAN).key == audit.key
    (tmp_path / "page.css").write_text("")
    monkeypatch.setattr(rules, "TEMPLATES", [tmp_path / "page.css"])
    assert audit_publication(PLAN).key != audit.key
