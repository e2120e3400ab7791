"""What notebooks draw of experiments that this repository does not have: variants and seeds of a user's own."""

import json
import re
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from selectimprove.analysis.style import middle_of_window
from selectimprove.config.checks import require_met
from selectimprove.config.loading import load_params

TYPES = ("all", "evaluation", "inversion")


@pytest.fixture
def draw(tmp_path):
    """Run the code of a notebook on tables that a test wrote to its folder of measures."""
    (tmp_path / "measures").mkdir()

    def run(
        notebook: str | list[dict],
        tables: dict[str, pd.DataFrame],
        variants: dict[str, dict] | None = None,
        **parameters,
    ) -> Path:
        for table, rows in tables.items():
            rows.to_parquet(tmp_path / f"measures/{table}.parquet")
        config = {"variants": {variant: {"rl": rl} for variant, rl in (variants or {}).items()}}
        config |= {"statistics": {"confidence": 0.95}, "sft_mixes": {"FB": {}}}
        config["rl_problems"] = {"rl_6_9": {"evaluation_share": 0.5}}
        (tmp_path / "measures/config.json").write_text(json.dumps(config))
        cells = notebook
        if isinstance(notebook, str):
            cells = json.loads((ROOT / f"workflow/notebooks/{notebook}.ipynb").read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        given = {"measures": str(tmp_path / "measures"), "folder": str(tmp_path), "name": str(notebook)} | parameters
        # Parameters come after the cell of their defaults, as papermill has it.
        with mpl.rc_context({"backend": "agg"}):
            exec("\n".join([code[0], *(f"{key} = {value!r}" for key, value in given.items()), *code[1:]]), {})
        return tmp_path

    return run


def rates(
    variants, mixes=("FB",), trainings=("sft", "rl_6_9"), seeds=("pooled",), types=TYPES, **columns
) -> pd.DataFrame:
    """Make up a row for each model and type of problem, none with the numbers of another."""
    keys = ["variant", "sft", "training", "seed", "problem_type"]
    rows = pd.DataFrame(product(variants, mixes, trainings, seeds, types), columns=keys)
    share = np.linspace(0.1, 0.8, len(rows))
    usual = {
        "rl_step": [0 if training == "sft" else 160 for training in rows["training"]],
        "problem_set": "6-9",
        "n_steps": "all",
    }
    return rows.assign(
        **usual
        | {"pass_at_1": share, "ci_low": share - 0.1, "ci_high": share + 0.1, "n_problems": 8, "n_samples": 16}
        | columns
    )


def test_settings_of_rl_that_the_paper_does_not_vary_tell_variants_apart(draw):
    usual = {"learning_rate": 3e-4, "group_size": 8, "beta": 0.05, "loss_type": "dapo", "epsilon": 0.2}
    variants = {"default": usual, "dr_grpo": usual | {"loss_type": "dr_grpo"}, "beta": usual | {"beta": 0.1}}
    folder = draw("rl_settings", {"pass_rates": rates(variants)}, variants)
    found = pd.read_csv(folder / "rl_settings.csv", keep_default_na=False)
    assert "epsilon" not in found
    of_both = found[found["problem_type"] == "all"].set_index(["loss_type", "beta"])
    assert set(of_both.index) == {("dapo", 0.05), ("dr_grpo", 0.05), ("dapo", 0.1)}
    expected = rates(variants).query("training == 'rl_6_9' and problem_type == 'all'").set_index("variant")["pass_at_1"]
    assert of_both.loc[("dr_grpo", 0.05), "pass_at_1"] == pytest.approx(expected["dr_grpo"], rel=1e-5)
    # The paper has no such loss; it has both betas.
    assert (of_both["paper"] == "").to_dict() == {("dapo", 0.05): False, ("dr_grpo", 0.05): True, ("dapo", 0.1): False}
    assert len(json.loads((folder / "metrics.json").read_text())) == 3


def test_variants_that_differ_in_nothing_that_a_table_shows_are_told_apart_by_name(draw):
    usual = {"learning_rate": 3e-4, "group_size": 8, "beta": 0.05}
    variants = {"default": usual, "more_sft": usual}
    folder = draw("rl_settings", {"pass_rates": rates(variants)}, variants)
    assert set(pd.read_csv(folder / "rl_settings.csv")["variant"]) == {"default", "more_sft"}
    assert len(json.loads((folder / "metrics.json").read_text())) == 2


def test_a_control_of_a_users_own_is_drawn(draw):
    variants = ("default", "random_reward", "my_reward")
    told = rates(variants, types=TYPES[1:], greedy=True, told="")
    folder = draw("controls", {"pass_rates": rates(variants), "interventions": told})
    drawn = pd.read_csv(folder / "controls.csv").groupby("variant")["training"].agg(set).to_dict()
    assert drawn == {"default": {"sft", "rl_6_9"}, "random_reward": {"rl_6_9"}, "my_reward": {"rl_6_9"}}
    assert "my reward" in (folder / "controls.svg").read_text()


def test_emergence_takes_any_number_of_seeds(draw):
    seeds, mixes = [str(seed) for seed in range(1, 8)], ("FB", "F90")
    models = {"mixes": mixes, "seeds": seeds, "types": ("inversion",)}
    before = rates(
        ("default",), trainings=("sft",), strategy="backward", share=0.1, share_low=0.05, share_high=0.2, **models
    )
    told = rates(("default",), trainings=("sft",), told="backward", greedy=False, **models)
    rewards = pd.DataFrame(product(mixes, seeds, range(1, 11)), columns=["sft", "seed", "step"])
    # The share passes one half at step 6.
    rewards = rewards.assign(problem_type="inversion", backward=(rewards["step"] - 0.5) / 11, n_rollouts=16)
    tables = {"strategies": before, "interventions": told, "rewards": rewards}
    folder = draw("emergence", tables, plot={"width": 6.8, "height": 2.6, "window": 1})
    found = pd.read_csv(folder / "emergence.csv")
    assert sorted(found["seed"].astype(str).unique()) == seeds
    assert set(found["returned_at"]) == {6}
    assert all(f"seed {seed}" in (folder / "emergence.svg").read_text() for seed in seeds)


def test_the_notebook_of_the_documents_draws(draw):
    (text,) = re.findall(r"```python\n(# %% tags.*?)```", (ROOT / "workflow/docs/extending.md").read_text(), re.S)
    cells = [{"cell_type": "code", "source": cell.partition("\n")[2]} for cell in text.split("# %%")[1:]]
    table = pd.concat(
        [rates(("default",), ("B", "FB"), n_steps=n, rl_step=step) for n in ("6", "9") for step in (0, 160)]
    )
    folder = draw(cells, {"pass_rates": pd.concat([table, table.assign(n_steps="all")])}, name="by_steps")
    found = pd.read_csv(folder / "by_steps.csv")
    assert len(found) == 4
    assert (folder / "by_steps.png").stat().st_size > 0


@pytest.mark.parametrize("notebook", ["table1", "seeds", "figure4", "amplification"])
def test_models_that_agree_have_an_interval_that_is_not_of_width_zero(draw, notebook):
    own = rates(["default"], seeds=("1", "2", "pooled"), pass_at_1=1.0, ci_low=0.7, ci_high=1.0)
    models = own[["sft", "training"]].drop_duplicates().assign(generations="results/evaluation/x")
    steps = pd.DataFrame(product(TYPES[1:], ("1", "2"), (6, 7), range(1, 21)))
    steps = steps.set_axis(["problem_type", "seed", "n_steps", "step"], axis=1)
    steps = steps.assign(sft="FB", training="rl_6_9", variant="default", reward=1.0, forward=1.0, n_rollouts=8)
    shares = own.assign(strategy="forward", share=1.0, share_low=0.9, share_high=1.0)
    tables = {"pass_rates": own, "models": models, "rewards": steps, "strategies": shares}
    folder = draw(notebook, tables, name=notebook)
    found = pd.read_csv(folder / f"{notebook}.csv")
    lows = [column for column in found if column.endswith("low")]
    assert lows
    for low in lows:
        high = low.removesuffix("low") + "high"
        known = found.dropna(subset=low)
        assert not known.empty
        assert (known[high] > known[low]).all()


def test_a_run_of_few_steps_is_still_a_line():
    assert list(middle_of_window(pd.Series([1, 2, 3, 4]), 10)) == [1, 1, 3, 3]
    assert list(middle_of_window(pd.Series([1]), 10)) == [0.5]
    assert list(middle_of_window(pd.Series([1, 10, 11, 160]), 10)) == [5, 5, 15, 155]


def test_every_figure_and_table_of_the_params_can_be_asked_for():
    params = load_params(ROOT / "params.yaml")
    for name in [*params.figures, *params.tables]:
        require_met(params, name)
