"""How training went: what is read of a trainer's log, and alarms, which fire on what went wrong and on nothing else."""

import json
import os
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import jinja2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, laptop_plan
from selectimprove.analysis.style import ALARMS
from selectimprove.analysis.training_logs import (
    COLUMNS,
    find_alarms,
    measure_training,
    read_log,
    read_logs,
)
from selectimprove.config.loading import load_params
from selectimprove.config.stages import Run
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.page import exhibit_entries
from selectimprove.stages import exhibits
from selectimprove.stages.exhibits import describe_alarms
from selectimprove.training.trainer import training_log

PARAMS = load_params(ROOT / "params.yaml")
BOUNDS = PARAMS.alarms
RUN = Run(variant="default", sft="FB", training="rl_6_9", seed=7)
N = 60


def healthy(seed: int = 0) -> pd.DataFrame:
    """Make the log of an RL run as noisy as real ones: with single steps far past a bound, and at the end without a gradient."""
    rng = np.random.default_rng(seed)
    reward = np.linspace(0.2, 1, N)
    log = pd.DataFrame(
        {
            "step": range(1, N + 1),
            "learning_rate": 3e-4,
            "loss": rng.normal(0.01, 0.02, N),
            "grad_norm": rng.lognormal(-1, 0.7, N),
            "entropy": rng.uniform(0, 0.1, N),
            "kl": rng.lognormal(-3, 1, N),
            "reward": reward,
            "constant_groups": rng.uniform(0, 0.9, N),
            "cut_off": rng.uniform(0, 0.2, N),
        }
    )
    far_off = rng.choice(N - 20, 3, replace=False)
    log.loc[far_off, ["grad_norm", "kl", "cut_off"]] = 63.0, 6.6, 0.9
    log.loc[N - 15 :, ["reward", "constant_groups"]] = 1.0
    return log


WRONG = {
    "loss_rise": {"loss": 1.5},
    "grad_norm": {"grad_norm": 40.0},
    "kl": {"kl": 1.7},
    "cut_off": {"cut_off": 0.8},
    "reward": {"constant_groups": 1.0, "reward": 0.1},
}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_healthy_run_raises_no_alarm(seed):
    assert find_alarms(healthy(seed), BOUNDS) == []


@pytest.mark.parametrize("alarm", WRONG)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, N - 1), st.integers(1, N))
def test_an_alarm_needs_a_stretch_and_names_it(alarm, seed, start, length):
    # Without steps that are far off, which may lie beside the stretch and lengthen it.
    log = healthy(seed).assign(grad_norm=0.3, kl=0.1, cut_off=0.01, constant_groups=0.5)
    end = min(start + length, N)
    if start == 0 and alarm == "loss_rise":
        start = 1  # The first value is what the others are compared with.
    for column, value in WRONG[alarm].items():
        log.loc[start : end - 1, column] = value
    found = find_alarms(log, BOUNDS)
    if end - start < BOUNDS.stretch:
        assert found == []
    else:
        assert [(row["alarm"], row["first_step"], row["last_step"]) for row in found] == [(alarm, start + 1, end)]
        assert f"steps {start + 1}–{end}" in found[0]["says"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("column", "said"), [("grad_norm", "gradient norm"), ("kl", "KL divergence"), ("loss", "loss")]
)
def test_what_is_no_number_counts_at_once(column, said, value):
    log = healthy()
    log.loc[30, column] = value
    assert [row["says"] for row in find_alarms(log, BOUNDS)] == [f"{said} not a number at step 31"]


def test_a_loss_of_sft_that_explodes_is_found_among_rows_of_validation():
    log = pd.DataFrame({"step": range(16, 1296, 16), "learning_rate": 3e-4, "loss": 0.11, "grad_norm": 0.2})
    validation = pd.DataFrame({"step": range(100, 1300, 100), "eval_loss": 0.12})
    log = pd.concat([log, validation]).sort_values("step", ignore_index=True)
    assert find_alarms(log, BOUNDS) == []
    log.loc[log["step"] > 900, "loss"] += 2
    (found,) = find_alarms(log, BOUNDS)
    assert (found["alarm"], found["first_step"], found["last_step"]) == ("loss_rise", 912, 1280)
    assert find_alarms(validation, BOUNDS) == []


def write_log(folder, log: pd.DataFrame) -> dict:
    """Write a log, with a column that is not measured. Return the stage's inputs."""
    log.assign(num_tokens=1.0).to_parquet(folder / "training.parquet")
    return {f"policy/{RUN.name}": folder}


def test_the_log_is_read_a_row_per_step(tmp_path):
    write_log(tmp_path, healthy())
    read = read_log(tmp_path / "training.parquet")
    pd.testing.assert_frame_equal(read[list(healthy())], healthy(), check_dtype=False)
    assert "eval_loss" not in read


def test_validation_is_joined_with_the_step_that_it_follows(tmp_path):
    rows = [
        {"step": 16, "loss": 0.3, "learning_rate": 1e-3},
        {"step": 16, "eval_loss": 0.2},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "training.parquet")
    (row,) = read_log(tmp_path / "training.parquet").to_dict("records")
    assert row == {"step": 16, "loss": 0.3, "learning_rate": 1e-3, "eval_loss": 0.2}


def test_all_rows_of_a_round_of_fine_tuning_are_read(tmp_path):
    log = pd.DataFrame(
        {"step": [1, 1, 1, 2, 2], "loss": 0.1, "learning_rate": 1e-3, "grad_norm": [0.2, 20, 30, 40, 50]}
    )
    log.to_parquet(tmp_path / "training.parquet")
    read = read_log(tmp_path / "training.parquet")
    pd.testing.assert_frame_equal(read[list(log)], log)
    (found,) = find_alarms(read, BOUNDS.model_copy(update={"stretch": 4}))
    assert (found["alarm"], found["first_step"], found["last_step"]) == ("grad_norm", 1, 2)
    log.loc[4, "grad_norm"] = np.nan
    log.to_parquet(tmp_path / "training.parquet")
    with pytest.raises(ParamsError, match="no number at the last step, 2: gradient norm"):
        read_logs([RUN], {f"policy/{RUN.name}": tmp_path})


def test_a_training_that_ended_before_it_logged_has_an_empty_log(tmp_path):
    log = training_log(SimpleNamespace(state=SimpleNamespace(log_history=[{"train_runtime": 0.1, "step": 1}])))
    log.to_parquet(tmp_path / "training.parquet")
    ((run, log),) = read_logs([RUN], {f"policy/{RUN.name}": tmp_path})
    assert find_alarms(log, BOUNDS) == []
    assert measure_training([(run, log)], pd.DataFrame(), ("forward",)).empty


def test_a_training_that_broke_down_is_refused_in_one_line(tmp_path):
    log = healthy()
    # As transformers logs it: a loss that is not a number as 0.
    log.loc[40:, ["loss", "grad_norm", "kl"]] = 0.0, np.nan, np.nan
    inputs = write_log(tmp_path, log)
    with pytest.raises(ValueError, match="no number at the last step, 60: gradient norm, KL divergence") as refused:
        read_logs([RUN], inputs)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{tmp_path}/training.parquet: ")
    assert RUN.name in line
    log.loc[50:] = healthy().loc[50:]
    write_log(tmp_path, log)
    assert len(read_logs([RUN], inputs)) == 1


def test_shares_of_strategies_stand_beside_the_log_of_their_step():
    sft = RUN.model_copy(update={"training": "sft"})
    logs = [(RUN, healthy()), (sft, healthy().drop(columns=["kl", "reward"]))]
    rollouts = pd.DataFrame(
        {"step": [1, 1, 1, 1, 2, 2], "strategy": ["forward"] * 3 + ["other"] + ["backward"] * 2}
    ).assign(**RUN.model_dump() | {"seed": "7"})
    table = measure_training(logs, rollouts, ("forward", "backward", "other"))
    assert len(table) == 2 * N
    rl, of_sft = (table[table["training"] == training].set_index("step") for training in ("rl_6_9", "sft"))
    assert rl.loc[[1, 2], ["forward", "backward", "other"]].to_numpy().tolist() == [[0.75, 0, 0.25], [0, 1, 0]]
    assert rl["kl"].tolist() == healthy()["kl"].tolist()
    assert of_sft[["forward", "kl"]].isna().all(axis=None)
    assert {"forward", "other"} <= set(measure_training(logs, pd.DataFrame(), ("forward", "other")))


@pytest.mark.parametrize(
    ("alarmed", "shown", "listed"),
    [
        (("default", "FB", "rl_6_9"), {"sft": ["B", "FB"], "training": ["sft", "rl_6_9"]}, True),
        (("default", "FB", "rl_6_9"), {"sft": ["B", "FB"], "training": ["rl_6_9", "rl_2_5"]}, False),
        (("default", "none", "sft"), {"sft": ["none"], "training": ["rl_6_9"]}, True),
        (("coin", "FB", "rl_6_9"), {"variant": ["default"], "sft": ["FB"]}, False),
        (("coin", "FB", "rl_6_9"), {"share": [0.5]}, True),
    ],
)
def test_a_figure_lists_the_alarms_of_the_models_that_it_shows(tmp_path, alarmed, shown, listed):
    row = dict(zip(COLUMNS, [*alarmed, 7, "kl", 3, 14, 2.0, "KL at steps 3–14"], strict=True))
    pd.DataFrame([row]).to_csv(tmp_path / "alarms.csv", index=False)
    text = describe_alarms(tmp_path, pd.DataFrame(shown))
    assert ("KL at steps 3–14" in text) == listed
    assert text.count("\n- ") == listed


def test_the_page_tells_alarms_from_the_caption(tmp_path):
    (tmp_path / "figure.md").write_text(f"A figure.{ALARMS}- one\n- two\n")
    figure = Mock(folder=tmp_path, inputs={})
    plan = Mock(audited={"figure": figure}, all_figures={"figure": figure}, extras={})
    (entry,) = exhibit_entries(plan, {figure: {"commit": "abc"}}, defaultdict(int))
    assert (entry["caption"], entry["alarms"]) == ("A figure.", ["one", "two"])


def test_bounds_enter_the_keys_of_measures_and_of_nothing_before_them():
    other = PARAMS.model_copy(update={"alarms": BOUNDS.model_copy(update={"kl": 2.0})})
    before, after = laptop_plan().artifacts, Plan(other).artifacts
    changed = {stage for stage in before if before[stage].keys() != after[stage].keys()}
    assert changed == {"measures", "exhibits"}


def test_snakemakes_report_shows_a_caption_as_it_is_written(tmp_path, monkeypatch):
    caption = "Sets such as {{ x }} and {% if %}, {# no comment #}."

    def draw(path, executed, parameters, **options):
        Path(parameters["folder"], f"{parameters['name']}.csv").write_text("a\n1\n")

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(exhibits.papermill, "execute_notebook", draw)
    (tmp_path / "config.json").write_text(json.dumps({"runs": [{"seed": 1}]}))
    pd.DataFrame(columns=COLUMNS).to_csv(tmp_path / "alarms.csv", index=False)
    (tmp_path / "figure").mkdir()
    config = exhibits.ExhibitsStage(
        name="mine", scale="smoke", caption=caption, plot={}, notebook="x", notebook_source="", notebook_modules=[]
    )
    exhibits.draw_exhibit(config, {"measures": tmp_path}, tmp_path / "figure")
    # As `snakemake.report` does.
    shown = jinja2.Template((tmp_path / "figure/caption.rst").read_text()).render(snakemake={})
    assert shown.startswith(caption)
    assert (tmp_path / "figure/mine.md").read_text().startswith(caption)
