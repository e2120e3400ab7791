"""A user's mistakes: one clear line with file and key, before any job starts."""

import shutil

import pytest

from conftest import SEEDS, Checkout
from selectimprove.config.loading import SCALES, load_params
from selectimprove.types import ParamsError

MISTAKES = {
    "an order that is not prime": (
        ("field_order: 11", "field_order: 12"),
        ["tasks.chains.field_order: 12 is not prime; use a prime such as 11 or 13"],
    ),
    "a reversed step range": (
        ("rl_6_9: {steps: [6, 9]", "rl_6_9: {steps: [9, 6]"),
        ["tasks.chains.rl_problems.rl_6_9.steps: [9, 6] is not a range; use [fewest, most] with 1 <= fewest <= most"],
    ),
    "an empty step range": (
        ("rl_2_5: {steps: [2, 5]", "rl_2_5: {steps: []"),
        ["tasks.chains.rl_problems.rl_2_5.steps: [] is not a range; use [fewest, most]"],
    ),
    "more problems than exist": (
        ("2-5: {steps: [2, 5]", "2-5: {steps: [1, 1]"),
        ["evaluation.n_problems: asks for 1024 problems of 1 steps", "exist in split 'test' of GF(11)"],
    ),
    "an unknown run in a figure": (
        ("  figure2:\n    experiment: main", "  figure2:\n    experiment: mian"),
        ["figures.figure2.experiment: 'mian' is unknown; did you mean 'main'?"],
    ),
    "an unknown mix in an experiment": (
        ("sft_mixes: [B, F, FB]", "sft_mixes: [B, F, FBB]"),
        ["experiments.main.sft_mixes: 'FBB' is unknown; did you mean 'FB'?"],
    ),
    "a missing notebook": (
        ("  mechanisms:\n    experiment", "  mechanism:\n    experiment"),
        ["figures.mechanism: there is no workflow/notebooks/mechanism.ipynb"],
    ),
    "an override that is no param": (
        ("half: {sft: {learning_rate", "half: {sft: {lerning_rate"),
        ["experiments.sft_learning_rate.variants.half.sft.lerning_rate: unknown key; did you mean 'learning_rate'?"],
    ),
    "an override with an order that is not prime": (
        ("overrides: {task: {field_order: 13}}", "overrides: {task: {field_order: 15}}"),
        ["experiments.gf13.overrides.task.field_order: 15 is not prime; use a prime such as 11 or 13"],
    ),
    "an override that asks for too much": (
        ("10-15: {steps: [10, 15]", "10-15: {steps: [10, 25]"),
        ["experiments.steps_6_15.overrides: tasks.chains.test_problems.10-15.steps: 25 steps need as many labels"],
    ),
    "compositions with more labels than the ring": (
        ("test: {parts: [1, 6]}", "test: {parts: [1, 9]}"),
        [
            "tasks.compositions.test_problems.test.parts: 9 parts of 2 steps need 27 labels",
            "but ring_size is 20",
        ],
    ),
    "more compositions than exist": (
        ("{n_problems: 1536,", "{n_problems: 60000,"),
        [
            "experiments.composition.overrides: evaluation.n_problems: asks for 10000 problems of 1 parts, more than three"
        ],
    ),
    "an override of compositions that contradicts": (
        ("overrides: {evaluation: {n_problems: 1536, checkpoints: last}}", "overrides: {rl: {n_prompts: 8}}"),
        ["experiments.composition.overrides: rl.prompts_per_step: 16 is more than n_prompts 8"],
    ),
    "an unknown task": (
        ("    task: compositions\n", "    task: chain\n"),
        ["experiments.composition.task: 'chain' is unknown; did you mean 'chains'?"],
    ),
    "a misspelt setting of a task": (
        ("    part_steps: [2, 2]", "    part_stepps: [2, 2]"),
        ["tasks.compositions.part_stepps: unknown key; did you mean 'part_steps'?"],
    ),
    "a misspelt key": (
        ("  group_size: 8", "  group_sise: 8"),
        ["rl.group_sise: unknown key; did you mean 'group_size'?"],
    ),
    "a batch that does not divide": (
        ("checkpoint_every: 10 ", "device_batch_size: 5\n  checkpoint_every: 10 "),
        ["rl.device_batch_size: 5 does not divide the 128 sequences that a step has for each device"],
    ),
    "GPUs that do not divide a batch": (
        ("train: {cores: 1, gpus: 0,", "train: {cores: 1, gpus: 32,"),
        ["resources.train.gpus: 32 do not divide the 16 sequences of a step of sft"],
    ),
    "an engine without its settings": (
        ("sampling: {engine: transformers}", "sampling: {engine: vllm}"),
        ["sampling.vllm: missing; the engine vllm needs its settings, as in workflow/scales/paper.yaml"],
    ),
    "a revision that is a branch": (
        ("lora: null", "lora: null\npretrained: {repository: Qwen/Qwen2.5-1.5B-Instruct, revision: main}"),
        ["pretrained.revision: string should match pattern"],
    ),
    "an unknown scale": (
        ("scale: smoke", "scale: cluster"),
        ["scale: 'cluster' is unknown; use one of laptop, paper, rehearsal, smoke, workstation"],
    ),
    "a word for a number": (("n_steps: 3000", "n_steps: many"), ["base.n_steps: input should be a valid integer"]),
    "shares that do not add up": (
        ("rl: 0.25, test: 0.25", "rl: 0.25, test: 0.5"),
        ["tasks.chains.split_shares: the shares add up to 1.25"],
    ),
    "no YAML": ((f"seeds: {SEEDS}", f"seeds: {SEEDS}"[:-1]), ["params.yaml: line", "not YAML"]),
}


@pytest.fixture
def params(fresh, tmp_path, monkeypatch) -> Checkout:
    """Nothing but the params of `fresh`, to change. The overlay of their scale is empty, lest it hide the value under test."""
    shutil.copytree(SCALES, tmp_path / "scales")
    (tmp_path / "scales/smoke.yaml").write_text("{}\n")
    monkeypatch.setattr("selectimprove.config.loading.SCALES", tmp_path / "scales")
    shutil.copy(fresh.folder / "params.yaml", tmp_path)
    return Checkout(tmp_path)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(params, mistake):
    edit, expected = MISTAKES[mistake]
    params.edit("params.yaml", *edit)
    with pytest.raises(ParamsError) as found:
        load_params(params.folder / "params.yaml")
    (line,) = str(found.value).splitlines()
    assert line.startswith("params.yaml")
    assert all(part in line for part in expected), line


def test_what_is_right_passes(params):
    load_params(params.folder / "params.yaml")


def refuse(checkout: Checkout) -> list[str]:
    """Return the lines that the command says of params with mistakes, before it has started anything."""
    done = checkout.run("snakemake --cores 1 figures", check=False)
    assert done.returncode != 0
    assert not (checkout.folder / "results/problems").exists()
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # Snakemake's own line.
    return [line for line in lines if not line.startswith("Using workflow specific profile profiles/default ")]


def test_the_command_names_all_mistakes_at_once_a_line_each(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    checkout.edit("params.yaml", "field_order: 11", "field_order: 10")
    checkout.edit("params.yaml", "  beta: 0.05", "  betta: 0.05")
    lines = refuse(checkout)
    assert [sum(key in line for line in lines) for key in ("tasks.chains.field_order", "rl.betta")] == [1, 1]
    assert len(lines) == 2


def test_the_command_names_a_mistake_that_is_no_yaml_in_one_line(fresh, tmp_path):
    edit, expected = MISTAKES["no YAML"]
    checkout = fresh.copy(tmp_path / "repository")
    checkout.edit("params.yaml", *edit)
    (line,) = refuse(checkout)
    assert line.startswith("params.yaml: line")
    assert all(part in line for part in expected), line
