"""What the settings of RL demand of one another, and of a reward of a user's own."""

from selectimprove.config.files.own_code import find_mistake
from selectimprove.config.params import Params


def unfit_rl(params: Params) -> list[str]:
    """Find settings of RL that contradict one another, and a reward that cannot be found.

    Sources: the documentation of TRL 1.16's `GRPOConfig`, and what its `GRPOTrainer` refuses.
    """
    rl = params.rl
    mistakes = []
    if rl.method != "grpo":
        mistakes += _without_grpo(params)
    elif rl.own_reward and (what := find_mistake(rl.own_reward)):
        mistakes.append(f"rl.reward: {what}")
    level, needed = rl.importance_sampling_level, {"luspo": "sequence", "vespo": "token"}.get(rl.loss_type)
    if needed and level != needed:
        mistakes.append(f"rl.importance_sampling_level: {rl.loss_type} takes '{needed}', not '{level}'")
    if rl.loss_type == "vespo" and params.sampling.engine == "vllm":
        mistakes.append(
            "rl.loss_type: vespo does not run with the engine vllm; use another, or the engine transformers"
        )
    bound = rl.epsilon_high or rl.epsilon
    if rl.loss_type == "cispo" and bound < 1:
        mistakes.append(
            f"rl.epsilon_high: cispo bounds the ratio itself, which is about 1, by {bound:g}; use a number above 1, such as 5"
        )
    if rl.checkpoint_every % rl.num_iterations:
        mistakes.append(
            f"rl.num_iterations: {rl.num_iterations} does not divide checkpoint_every {rl.checkpoint_every}; a run that goes on from a "
            "checkpoint samples anew there"
        )
    return mistakes


def _without_grpo(params: Params) -> list[str]:
    """Find settings that other methods than GRPO would not heed, and rounds without a prompt."""
    rl, rounds, mistakes = params.rl, params.rft.n_rounds, []
    prompts = rl.n_batches * rl.prompts_per_step
    if rl.reward != "outcome":
        mistakes.append(
            f"rl.reward: {rl.reward} is for `method: grpo`; {rl.method} takes no reward but the outcome: set `reward: outcome` beside it"
        )
    if rl.top_p != 1:
        mistakes.append(
            f"rl.top_p: {rl.top_p:g} is for `method: grpo`; {rl.method} samples with 1: set `top_p: 1.0` beside it"
        )
    if prompts < rounds:
        mistakes.append(f"rft.n_rounds: {rounds} rounds are more than the {prompts} prompts that RL draws")
    return mistakes
