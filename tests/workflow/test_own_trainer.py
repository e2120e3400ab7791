"""A trainer of a user's own: a module, its name among the methods, and the params that ask for it."""

import pandas as pd
import yaml

TOY = '''
"""A toy trainer: it samples and scores completions, and learns nothing from them."""

import shutil

import pandas as pd

from selectimprove.training.rl import RlJob, Trained
from selectimprove.training.sampling import load_engine


def train(job: RlJob) -> Trained:
    rl, rows, log = job.config.rl, [], []
    sampling = job.config.sampling
    sampler = load_engine(sampling).Sampler(job.policy, job.base, sampling.vllm, job.config.seed)
    for step in range(1, rl.n_steps + 1):
        asked = job.prompts.sample(rl.prompts_per_step, random_state=step)
        answers = sampler.sample(list(asked["prompt"]), rl.temperature, rl.group_size, job.max_new_tokens, step)
        completions = pd.DataFrame({"problem_id": asked["problem_id"], "completion": answers}).explode("completion")
        rewards = job.reward(list(completions["completion"]), list(completions["problem_id"]), step)
        rows.append(completions.assign(step=step, reward=rewards))
        log.append({"step": step, "reward": sum(rewards) / len(rewards), "tokens_in_hats": 7.0})
        if step % rl.checkpoint_every == 0 or step == rl.n_steps:
            shutil.copytree(job.policy, job.folder / f"trainer/checkpoint-{step}")
    return Trained(pd.concat(rows, ignore_index=True), pd.DataFrame(log))
'''
METHODS = 'method: Literal["grpo", '


def test_a_trainer_is_a_module_its_name_and_its_params(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    (checkout.folder / "workflow/selectimprove/training/toy.py").write_text(TOY)
    checkout.edit("workflow/selectimprove/config/training.py", METHODS, f'{METHODS}"toy", ')
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text())
    experiment = {"sft_mixes": ["FB"], "rl_problems": ["rl_6_9"], "variants": {"toy": {"rl": {"method": "toy"}}}}
    params |= {"experiments": {"main": experiment}, "figures": {}, "tables": {}}
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    scale = checkout.folder / "workflow/scales/smoke.yaml"
    overlay = yaml.safe_load(scale.read_text())
    own = {name: part for name, part in overlay.items() if name not in ("experiments", "figures", "tables")}
    scale.write_text(yaml.safe_dump(own))
    checkout.run("snakemake --cores all main audit && snakemake --cores all verify")

    (trained,) = checkout.folder.glob("results/rl/*")
    rl = params["rl"] | overlay["rl"]
    rollouts = pd.read_parquet(trained / "rollouts.parquet")
    per_step = rl["prompts_per_step"] * rl["group_size"]
    assert rollouts.groupby("step").size().to_dict() == dict.fromkeys(range(1, rl["n_steps"] + 1), per_step)
    assert (trained / f"checkpoints/step-{rl['n_steps']:04d}/model.safetensors").exists()
    assert not (trained / "trainer").exists()
    (measures,) = checkout.folder.glob("results/measures/main-*")
    measured = pd.read_parquet(measures / "training.parquet").query("training == 'rl_6_9'")
    assert measured["reward"].tolist() == rollouts.groupby("step")["reward"].mean().tolist()
    assert measured["kl"].isna().all()
