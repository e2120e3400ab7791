"""The user stories, on the real DAG at smoke scale; what takes longest comes first, so that two processes end together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pandas as pd
import pytest
import yaml
from moto.server import ThreadedMotoServer

from conftest import ENVIRONMENT, ROOT, SEEDS, Checkout
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
NOT_AGAIN = {"exhibits", *(name for name, stage in STAGES.items() if stage.environment != "light")}


PAPER = (
    {"figure2", "figure3", "figure4", "amplification", "composition", "gf13", "steps_6_15"},
    {
        "table1",
        "sft_learning_rate",
        "rl_settings",
    },
)


def artifacts(folder: Path) -> dict[str, dict]:
    """Read the provenance of every artifact, by stage and name."""
    paths = sorted((folder / "results").glob("*/*/provenance.json"))
    return {f"{path.parts[-3]}/{path.parts[-2]}": json.loads(path.read_text()) for path in paths}


def draw_nothing_again(monkeypatch) -> None:
    """Let verification take figures and tables as they are: the tests of verification draw some again."""
    monkeypatch.setattr("selectimprove.reports.remaking.asks_model", lambda a: a.stage in NOT_AGAIN)


@pytest.fixture(scope="module")
def smoke_plan() -> Plan:
    """What the scale of the tests draws by default, from the params as they stand."""
    return Plan(load_params(ROOT / "params.yaml", {"scale": "smoke"}))


@pytest.fixture
def bucket(monkeypatch) -> str:
    """The address of an empty bucket; `ENVIRONMENT` says where its server is and who may use it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (access | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="selectimprove")
    yield "s3://selectimprove/artifacts"
    server.stop()


def test_two_runs_are_bit_equal(smoke, fresh, tmp_path):
    again = fresh.copy(tmp_path / "repository")
    again.run("snakemake --cores all gf13")
    first, second = artifacts(smoke.folder), artifacts(again.folder)
    assert second.keys() < first.keys()
    stages = {name.split("/")[0] for name in first}
    assert {name.split("/")[0] for name in second} == stages - {"verdicts", "rft"}
    for name in second:
        # The executed copy of a notebook records when each cell ran.
        files = [{f: h for f, h in run[name]["files"].items() if f != "notebook.ipynb"} for run in (first, second)]
        assert files[0] == files[1], name


def test_dvc_shares_results_and_shows_them(smoke, fresh, tmp_path, bucket):
    origin = smoke.copy(tmp_path / "origin")
    origin.run(f"dvc --cd results remote add --default shared {tmp_path / 'remote'}")
    origin.run(
        "dvc repro && dvc --cd results push && git add --all && git add --force results/smoke && git commit --quiet --message results"
    )
    assert "table1" in origin.run("dvc metrics show").stdout
    assert "plots" in origin.run("dvc plots show --out plots_page").stdout
    origin.run("rm -r plots_page")

    subprocess.run(["git", "clone", "--quiet", origin.folder, tmp_path / "clone"], check=True)
    clone = type(smoke)(tmp_path / "clone")
    own = clone.folder / "results/rl/own-0/model"
    own.parent.mkdir(parents=True)
    own.touch()
    clone.run("dvc --cd results pull")
    assert own.exists()
    assert clone.planned() == {}
    clone.edit("params.yaml", "beta: 0.05", "beta: 0.1")
    difference = json.loads(clone.run("dvc params diff --json").stdout)["params.yaml"]
    assert difference["rl.beta"]["new"] == 0.1
    assert set(clone.planned()) & {"train_grpo", "train_sft"} == {"train_grpo"}
    clone.edit("params.yaml", f"seeds: {SEEDS}", "seeds: [7]")
    assert clone.planned(target="main") == fresh.planned(target="main")

    for checkout in (origin, clone):
        checkout.run(f"dvc --cd results remote add --local bucket {bucket}")
    origin.run("dvc --cd results push --remote bucket")
    clone.run(
        "git checkout params.yaml && rm -r results/.dvc/cache results/*/ && git add --all && git checkout HEAD results && dvc --cd results pull --remote bucket"
    )
    assert clone.planned() == {}


def test_an_experiment_and_a_figure_are_added_without_a_rule(changed):
    """SFT at 60:40 in GF(17), and its figure."""
    before = changed.planned()
    assert before == {}
    params = yaml.safe_load((changed.folder / "params.yaml").read_text())
    params["tasks"]["chains"]["sft_mixes"]["F60"] = {"forward_share": 0.6}
    overrides = {"task": {"field_order": 17}}
    params["experiments"]["gf17"] = {"sft_mixes": ["F60"], "rl_problems": ["rl_6_9"], "overrides": overrides}
    params["figures"]["gf17"] = {"experiment": "gf17", "caption": "GF(17).", "plot": {"width": 3.4, "height": 2.5}}
    notebooks = changed.folder / "workflow/notebooks"
    (notebooks / "gf17.ipynb").write_text((notebooks / "figure2.ipynb").read_text())
    (changed.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    planned = changed.planned()
    assert [planned[rule] for rule in ("pretrain_base", "train_sft", "train_grpo", "draw_exhibit")] == [1, 1, 1, 1]
    changed.run("snakemake --cores all figures")
    assert set(pd.read_csv(changed.published / "figures/gf17.csv")["sft"]) == {"F60"}
    assert (changed.published / "figures/gf17.png").stat().st_size > 1000


def test_a_killed_training_resumes_and_ends_the_same(smoke, tmp_path):
    name = next(name for name in artifacts(smoke.folder) if name.startswith("rl/FB"))
    done = smoke.folder / "results" / name
    provenance = json.loads((done / "provenance.json").read_text())
    config = json.loads((done / "config.json").read_text())
    inputs = [
        f"--input={role}={smoke.folder}/results/{'sft' if role == 'sft' else 'problems'}/{source}"
        for role, source in provenance["inputs"].items()
    ]
    output = tmp_path / "again"
    command = [
        sys.executable,
        "-m",
        "selectimprove.stages.rl",
        "--config",
        json.dumps(config),
        *inputs,
        "--output",
        str(output),
    ]
    environment = ENVIRONMENT | {"PYTHONPATH": str(smoke.folder / "workflow"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first_checkpoint = tmp_path / "again.partial/trainer/checkpoint-2/finished-0-of-1"
    while not first_checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()

    resumed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    again = json.loads((output / "provenance.json").read_text())["files"]
    assert {f: h for f, h in again.items() if "checkpoint" in f or f == "rollouts.parquet"} == {
        f: h for f, h in provenance["files"].items() if "checkpoint" in f or f == "rollouts.parquet"
    }


def test_every_figure_and_table_is_published(smoke, smoke_plan):
    assert PAPER[0] <= PARAMS["figures"].keys()
    assert PAPER[1] <= PARAMS["tables"].keys()
    for name in smoke_plan.exhibits.keys() & smoke_plan.all_tables:
        assert len(pd.read_csv(smoke.published / f"tables/{name}.csv")) > 1, name
        assert (smoke.published / f"tables/{name}.md").read_text().count("\n|") > 3, name
    for name in smoke_plan.exhibits.keys() & smoke_plan.all_figures:
        for suffix in ("png", "pdf", "svg", "csv", "md"):
            assert (smoke.published / f"figures/{name}.{suffix}").stat().st_size > 40, (name, suffix)
        assert "SMOKE TEST" in (smoke.published / f"figures/{name}.svg").read_text()


def test_table_1_has_every_cell_with_its_interval(smoke):
    table = pd.read_csv(smoke.published / "tables/table1.csv")
    columns = ["sft", "training", "problem_type", "pass_at_1", "ci_low", "ci_high", "n_problems", "n_samples", "paper"]
    assert table.columns[: len(columns)].tolist() == columns
    cells = set(table[["sft", "training", "problem_type"]].itertuples(index=False, name=None))
    assert len(cells) == len(table) == 27
    assert cells == {
        (sft, training, problem_type)
        for sft in ("F", "B", "FB")
        for training in ("sft", "rl_2_5", "rl_6_9")
        for problem_type in ("all", "evaluation", "inversion")
    }
    assert (table["ci_low"] <= table["pass_at_1"]).all()
    assert (table["pass_at_1"] <= table["ci_high"]).all()
    assert table["paper"].between(0, 1).all()


def test_table_1_is_what_the_generations_say(smoke):
    table = (
        pd.read_csv(smoke.published / "tables/table1.csv").set_index(["sft", "training", "problem_type"]).sort_index()
    )
    evaluations = set(table["generations"])
    assert len(evaluations) == 9
    for path in (smoke.folder / name / "generations.parquet" for name in evaluations):
        inputs = json.loads((path.parent / "provenance.json").read_text())["inputs"]
        problems = pd.read_parquet(smoke.folder / "results/problems" / inputs["6-9"] / "problems.parquet")
        generations = pd.read_parquet(path).query("problem_set == '6-9'")
        generations = generations[generations["rl_step"] == generations["rl_step"].max()]
        rows = generations.merge(problems, on="problem_id")
        answers = zip(rows["completion"], rows["answer"], strict=True)
        passed = pd.Series([completion.split()[-2:] == ["answer", f"e{answer}"] for completion, answer in answers])
        sft, training = re.match(r"(\w+)-gf11-(\w+)-s\d+-", path.parent.name).groups()
        assert set(table.loc[(sft, training), "generations"]) == {f"results/evaluation/{path.parent.name}"}
        for problem_type, share in passed.groupby(rows["problem_type"]).mean().items():
            assert table.loc[(sft, training, problem_type), "pass_at_1"] == pytest.approx(share, abs=1e-6)


def test_where_no_curve_is_drawn_the_end_of_rl_alone_is_evaluated(smoke):
    steps = {}
    for path in (smoke.folder / "results/evaluation").glob(f"FB-gf11-rl_6_9-s{SEEDS[0]}-*/generations.parquet"):
        config = json.loads((path.parent / "config.json").read_text())
        steps.setdefault(config["checkpoints"], []).append(set(pd.read_parquet(path)["rl_step"]))
    assert steps.pop("all") == [{2, 4}]
    # Two RL settings, another reward, another range of steps, and seeds; and the last of two rounds of two controls.
    assert sorted(steps.pop("last"), key=min) == [{2}] * 2 + [{4}] * 5
    assert steps == {}


def test_verdicts_come_from_the_generations_and_agree_with_the_table(changed, monkeypatch):
    changed.run("snakemake --cores all audit")
    draw_nothing_again(monkeypatch)
    assert changed.mismatches(monkeypatch) == []
    claims = pd.read_csv(changed.published / "audit/claims.csv").set_index("claim")
    assert claims.columns[:7].tolist() == ["statement", "verdict", "effect", "ci_low", "ci_high", "n", "paper"]
    assert set(claims["verdict"]) <= {"reproduced", "smaller", "larger", "reversed", "inconclusive", "not run"}
    assert claims.loc["gf13", "verdict"] == "not run"
    tests = pd.read_csv(changed.published / "audit/tests.csv").set_index("test")["effect"]
    table = pd.read_csv(changed.published / "tables/table1.csv")
    table = table.set_index(["sft", "training", "problem_type"])["pass_at_1"]
    gain = table["FB", "rl_6_9", "all"] - table["B", "rl_6_9", "all"]
    assert tests["pass_at_1 FB rl_6_9 6-9 − pass_at_1 B rl_6_9 6-9 above 0.2"] == pytest.approx(gain, abs=1e-5)
    mechanisms = pd.read_csv(changed.published / "figures/mechanisms.csv")
    row = mechanisms.query("sft == 'B' and training == 'rl_6_9' and problem_type == 'inversion'").iloc[0]
    assert tests["improvement B rl_6_9 inversion 6-9 − 0 above 0.25"] == pytest.approx(row["improvement"], abs=1e-5)


def test_a_new_clone_runs_everything_though_results_are_published(fresh):
    assert (fresh.folder / "results/figures/figure2.png").exists()
    assert fresh.planned()["pretrain_base"] == 3 + 1
    assert fresh.planned(options="--config scale=laptop")["train_grpo"] == 6 + 2 + 3 + 1 + 3 + 2


def test_a_second_run_does_nothing(smoke):
    assert smoke.planned() == {}


def test_every_artifact_says_what_it_used_and_how_it_came_about(smoke):
    for name, provenance in artifacts(smoke.folder).items():
        folder = smoke.folder / "results" / name
        assert json.loads((folder / "config.json").read_text()), name
        assert provenance["commit"], name
        assert provenance["seconds"] >= 0, name
        assert provenance["versions"]["python"], name
        assert set(provenance["files"]) == {
            str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
        } - {"provenance.json"}, name
        assert not {path.suffix for path in folder.rglob("*")} & {".bin", ".pt", ".pth", ".pkl"}, name


def test_a_plotting_parameter_redraws_one_figure_and_going_back_is_instant(changed):
    before = (changed.published / "figures/figure4.png").read_bytes()
    changed.edit("params.yaml", "window: 10", "window: 1")
    assert changed.planned() == {"draw_exhibit": 1, "publish_figure4": 1}
    said = changed.run("snakemake --cores 2 figures").stderr
    assert re.search(r"0 of 1 artifacts made; about \d+ (s|min) left on 2 cores", said), said[-2000:]
    assert (changed.published / "figures/figure4.png").read_bytes() != before
    changed.edit("params.yaml", "window: 1", "window: 10")
    assert changed.planned() == {"publish_figure4": 1}
    changed.run("snakemake --cores all figures")
    assert (changed.published / "figures/figure4.png").read_bytes() == before
    assert changed.planned() == {}


def test_a_comment_in_a_stage_reruns_nothing(changed):
    changed.edit("workflow/selectimprove/stages/rl.py", "def train_grpo", "# A remark.\ndef  train_grpo")
    assert changed.planned() == {}


def test_another_command_for_the_same_artifacts_reruns_nothing(changed):
    changed.edit(
        "workflow/selectimprove/dag/rules.py",
        "return hidden + shlex.join(words)",
        'return hidden + shlex.join(["env", *words])',
    )
    changed.edit("workflow/rules/stages.smk", "{params.command} > {log} 2>&1", "{params.command} &> {log}")
    assert changed.planned() == {}
    shutil.rmtree(changed.folder / "results/labels")
    shutil.rmtree(changed.folder / "results/measures")
    changed.edit("params.yaml", "window: 10", "window: 3")
    # Verdicts read labels, so they are made again with the labels that the figure needs.
    again = {"label_strategies", "measure_experiment", "audit_claims", "draw_exhibit", "publish_figure4"}
    assert set(changed.planned()) == again


def test_code_reruns_its_stage_and_what_follows(changed, fresh):
    changed.edit("workflow/selectimprove/training/grpo.py", '"scale_rewards": "group"', '"scale_rewards": "batch"')
    planned, everything = changed.planned(), fresh.planned()
    assert planned["train_grpo"] == everything["train_grpo"]
    assert 0 < planned["evaluate_model"] < everything["evaluate_model"]
    assert not {"pretrain_base", "train_sft", "generate_problems"} & set(planned)


def test_changing_the_labels_does_not_train_again(changed, fresh):
    changed.edit("workflow/selectimprove/tasks/chains/labels.py", "2 * _common", "3 * _common")
    planned = changed.planned()
    # Those of chains; compositions are labeled by other code.
    assert planned["label_strategies"] == fresh.planned()["label_strategies"] - 4
    assert not {"train_grpo", "evaluate_model"} & set(planned)


def test_a_seed_reruns_everything(changed, fresh):
    changed.edit("params.yaml", f"seeds: {SEEDS}", "seeds: [7]")
    assert changed.planned(target="main") == fresh.planned(target="main")


def test_one_model_serves_all_experiments_that_share_it(fresh, smoke_plan):
    main = fresh.planned(target="main")
    assert (main["train_grpo"], main["train_sft"], main["draw_exhibit"]) == (6, 3, 7)
    assert fresh.planned()["draw_exhibit"] == len(smoke_plan.exhibits)


def test_what_other_params_drew_keeps_its_record(smoke, audited):
    """`audited` is `smoke` with other params laid over it, which draw one figure and one table."""
    for record in (smoke.published / "published").glob("*.json"):
        if record.stem.rpartition("-")[0] not in ("seeds", "table1"):
            assert record.read_text() == (audited.published / "published" / record.name).read_text()


def test_every_figure_table_and_experiment_is_a_target(fresh):
    listed = set(fresh.run("snakemake --list").stdout.split())
    assert PARAMS["figures"].keys() | PARAMS["tables"].keys() | PARAMS["experiments"].keys() <= listed
    assert fresh.planned(target="figure2")["draw_exhibit"] == 1
    # Also one that is not drawn by default, at the scale where it is not.
    assert fresh.planned("--config scale=laptop", target="phase_diagram")["pretrain_base"] == 1
    assert "did you mean 'gf13'" in fresh.run("selectimprove plan gf12", check=False).stderr


def publishing(checkout: Checkout, target: str) -> set[str]:
    return {rule for rule in checkout.planned(target=target) if rule.startswith("publish_")}


def test_what_is_published_is_made_anew_where_its_key_is_not_todays_or_a_file_is_missing(smoke, changed):
    figure, record = changed.published / "figures/gf13.png", changed.record_of("gf13")
    original = figure.read_bytes()
    changed.edit("params.yaml", "window: 10", "window: 3")
    changed.run("snakemake --cores 1 figure4")
    redrawn = changed.record_of("figure4")
    changed.edit("params.yaml", "window: 3", "window: 10")
    assert changed.planned() == {"publish_figure4": 1}
    changed.run("snakemake --cores 1 figure4")
    assert changed.record_of("figure4").name == smoke.record_of("figure4").name != redrawn.name
    for lost in (figure, record):
        lost.unlink()
        for target in ("gf13", "figures"):
            assert changed.planned(target=target) == {"publish_gf13": 1}, target
        changed.run("snakemake --cores 1 gf13")
        assert figure.read_bytes() == original
        assert record.read_text() == smoke.record_of("gf13").read_text()
    # Neither a file's time nor an artifact's says anything.
    artifact = next((changed.folder / "results/exhibits").glob("gf13-*/provenance.json"))
    for path in (figure, record, artifact):
        for stamp in (1000, time.time() + 1000):
            os.utime(path, (stamp, stamp))
            assert changed.planned() == {}, path


def test_what_is_made_again_leaves_git_as_it_was(changed):
    """Everything behind a table, and the table: all files are the same, and so are records and costs."""
    changed.run("git add --all --force results/smoke && git commit --quiet --message results")
    for name in changed.made_from("sft_learning_rate"):
        shutil.rmtree(changed.folder / "results" / name)
    assert changed.planned(target="sft_learning_rate")["publish_sft_learning_rate"] == 1
    changed.run("snakemake --cores all sft_learning_rate")
    assert changed.run("git status --porcelain --untracked-files=no").stdout == ""


def test_an_exported_folder_is_not_taken_for_the_artifact(changed):
    before = changed.record_of("table1").read_text()
    changed.run("selectimprove export table1 FB rl_6_9")
    changed.record_of("table1").unlink()
    changed.run("snakemake --cores 1 table1")
    assert changed.record_of("table1").read_text() == before


def test_the_command_that_verification_names_repairs(audited, tmp_path, monkeypatch):
    checkout = audited.copy(tmp_path / "repository")
    draw_nothing_again(monkeypatch)
    for file in ("figures/seeds.csv", "tables/table1.md", "metrics.json", "audit/claims.csv", "audit/index.html"):
        path = checkout.published / file
        path.write_text(path.read_text().replace("1", "2"))
    lines = checkout.mismatches(monkeypatch)
    assert len(lines) >= 5
    for command in {re.search(r"run `(.*)`$", line)[1] for line in lines}:
        checkout.run(command)
    assert checkout.mismatches(monkeypatch) == []


def test_another_scale_leaves_what_the_default_one_published(fresh, smoke):
    for folder in ("figures", "tables", "audit"):
        before, after = (
            {p.name: p.read_bytes() for p in (c.folder / "results" / folder).iterdir()} for c in (fresh, smoke)
        )
        assert before == after


def test_a_run_publishes_what_it_set_out_to_publish(changed):
    """The params are edited while a figure is drawn."""
    changed.edit("params.yaml", "window: 10", "window: 2")
    process = subprocess.Popen(
        ["snakemake", "--cores", "1", "figure4"], cwd=changed.folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    while not list(changed.folder.glob("results/exhibits/figure4-*.partial")):
        assert process.poll() is None
        time.sleep(0.1)
    changed.edit("params.yaml", f"seeds: {SEEDS}", "seeds: [7]")
    assert process.wait() == 0, process.stderr.read()[-2000:]
    assert "s110" in changed.record_of("figure4").read_text()
    assert publishing(changed, "figure4") == {"publish_figure4"}


def test_times_are_recorded(smoke):
    costs = pd.read_csv(smoke.published / "costs.csv")
    assert set(costs["stage"] + "/" + costs["name"]) == artifacts(smoke.folder).keys()


def test_the_forecast_names_jobs_reasons_exhibits_and_time(changed):
    def forecast() -> str:
        return changed.run("selectimprove plan --cores 1").stdout

    changed.edit("params.yaml", "window: 10", "window: 3")
    said = forecast()
    assert "exhibits: 1 of" in said
    assert "1 × plot.window 10 → 3" in said
    assert "figures and tables to draw: figure4\n" in said
    unchanged = (changed.folder / "params.yaml").read_text()
    said = changed.run("selectimprove plan main --config 'rl={beta: 0.3}' evaluation='{n_samples: 3}'").stdout
    assert "× rl.beta 0.05 → 0.3" in said
    assert "× evaluation.n_samples 2 → 3" in said
    assert (changed.folder / "params.yaml").read_text() == unchanged
    changed.edit("params.yaml", "beta: 0.05", "beta: 0.2")
    said = forecast()
    assert re.search(r"rl: (\d+) of \d+ to make\n    \d+ × rl.beta 0.05 → 0.2\n", said), said
    assert not re.search(r"^(base|sft|problems):", said, re.M), said
    assert re.search(r"time: \d+ (s|min) of jobs, about \d+ (s|min) on \d+ cores?$", said, re.M), said
    changed.edit("workflow/selectimprove/stages/sft.py", "save_total_limit=2", "save_total_limit=3")
    assert "× source of stages/sft.py" in forecast()


def test_the_forecast_counts_what_the_figures_need_and_not_what_the_claims_do(changed):
    shutil.rmtree(changed.folder / "results/rl")
    assert changed.planned() == {}
    assert "Nothing to make" in changed.run("selectimprove plan --cores 1").stdout
    changed.edit("params.yaml", f"seeds: {SEEDS}", "seeds: [7]")
    planned = changed.planned(target="main")
    said = changed.run("selectimprove plan main").stdout
    for stage, rule in (("sft", "train_sft"), ("rl", "train_grpo"), ("evaluation", "evaluate_model")):
        assert f"{stage}: {planned[rule]} of {planned[rule]} to make" in said
