"""Spot checks: what a model made is made again, so that a forgery is found though every hash was forged too; the untouched passes."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from test_verify import SEED, edit_table, record, with_value

from forked import with_server
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.reports.remaking import check_artifact, check_record, compare, last_checkpoint_only, make_again


def one(plan: Plan, stage: str, slug: str) -> Artifact:
    behind = collect_ancestors([plan.measures["main"]])
    (found,) = (artifact for artifact in behind if (artifact.stage, artifact.slug) == (stage, f"{slug}-smoke"))
    return found


@pytest.fixture(scope="module")
def plan(audited, tmp_path_factory):
    """The plan of a copy to forge in, in whose folder the tests are."""
    copy = audited.copy(tmp_path_factory.mktemp("spot") / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy.folder)
        patch.setattr("selectimprove.config.loading.SCALES", copy.folder / "workflow/scales")
        for name, value in with_server(dict(os.environ)).items():
            patch.setenv(name, value)
        yield Plan(load_params(Path("params.yaml")))


def give_right_answers(evaluation: Artifact) -> None:
    """Replace what the last checkpoint answered, as whoever wants 100 % would."""
    problems = pd.concat(
        pd.read_parquet(source.folder / "problems.parquet").assign(problem_set=role)
        for role, source in evaluation.inputs.items()
        if role != "policy"
    )

    def forge(table: pd.DataFrame) -> pd.DataFrame:
        answers = table.merge(problems, on=["problem_set", "problem_id"], how="left")["answer"]
        last = table["rl_step"] == table["rl_step"].max()
        return table.assign(completion=table["completion"].mask(last, "forward answer e" + answers.astype(str)))

    edit_table(evaluation.folder / "generations.parquet", forge, cover=True)


def swap_checkpoints(rl: Artifact) -> None:
    first, last = (rl.folder / f"checkpoints/step-{step:04d}/model.safetensors" for step in (2, 4))
    content = first.read_bytes()
    shutil.copyfile(last, first)
    last.write_bytes(content)
    record(first)
    record(last)


def lower_cross_entropy(sft: Artifact) -> None:
    path = sft.folder / "training.parquet"
    edit_table(path, lambda t: with_value(t, "eval_loss", lambda loss: loss - 1e-12), cover=True)


def change_rollout(rl: Artifact) -> None:
    path = rl.folder / "rollouts.parquet"
    edit_table(path, lambda t: with_value(t, "completion", lambda text: f"backward {text}"), cover=True)


FORGERIES = [
    (give_right_answers, "evaluation", f"B-gf11-rl_6_9-{SEED}", ["generations.parquet"]),
    (swap_checkpoints, "rl", f"F-gf11-rl_6_9-{SEED}", [f"checkpoints/step-000{n}/model.safetensors" for n in (2, 4)]),
    (lower_cross_entropy, "sft", f"FB-gf11-{SEED}", ["training.parquet"]),
    (change_rollout, "rl", f"FB-gf11-rl_2_5-{SEED}", ["rollouts.parquet"]),
]


def test_what_the_last_checkpoint_answered_can_be_made_again_alone(plan, tmp_path):
    evaluation = one(plan, "evaluation", f"B-gf11-rl_2_5-{SEED}")
    make_again(last_checkpoint_only(evaluation), tmp_path / "again", plan.params.resources)
    assert list(compare(evaluation, tmp_path / "again", "last")) == []
    whole = shutil.copytree(evaluation.folder, tmp_path / "whole")
    give_right_answers(evaluation)
    (line,) = compare(evaluation, tmp_path / "again", "last")
    assert line.startswith(f"{evaluation.folder}/generations.parquet: differs from what its inputs give")
    shutil.copytree(whole, evaluation.folder, dirs_exist_ok=True)


def test_forgeries_with_forged_hashes_are_found_and_nothing_else(plan):
    forged = {one(plan, stage, slug): (forge, files) for forge, stage, slug, files in FORGERIES}
    check = partial(check_artifact, plan.params.scale, plan.params.resources, "all")
    for artifact, (forge, _) in forged.items():
        forge(artifact)
        assert list(check_record(artifact)) == []
        assert check(artifact, False) == ([], False)
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(forged, pool.map(lambda a: check(a, True), forged), strict=True))
    for artifact, (_, files) in forged.items():
        lines = found[artifact].mistakes
        assert [line.partition(": ")[0] for line in lines] == [f"{artifact.folder}/{file}" for file in files]
        assert all("differs from what its inputs give" in line for line in lines)
        assert not found[artifact].confirmed
    assert check(one(plan, "base", f"gf11-{SEED}"), True) == ([], True)
