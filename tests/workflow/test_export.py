"""`selectimprove export` on real artifacts: what it writes loads elsewhere, answers as the artifact does, and its card tells the truth."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from selectimprove.commands.arguments import find_artifact
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.reports.exporting import write_dataset, write_folder

WITHOUT_TORCH = "import sys; from selectimprove.__main__ import main; main(); assert 'torch' not in sys.modules"


@pytest.fixture(scope="module")
def exported(smoke, tmp_path_factory) -> tuple[Path, Path]:
    """A model's checkpoint, and its folder for elsewhere."""
    folder = tmp_path_factory.mktemp("exported") / "FB"
    python = f'PYTHONPATH=workflow {sys.executable} -c "{WITHOUT_TORCH}"'
    lines = smoke.run(f"{python} export table1 FB rl_6_9 --output {folder}").stdout.splitlines()
    said = dict(re.split(r" +", line, maxsplit=1) for line in lines)
    return smoke.folder / said["model"], folder


@pytest.fixture(scope="module")
def plan(smoke) -> Plan:
    return Plan(load_params(smoke.folder / "params.yaml"))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_an_exported_model_answers_as_its_artifact_does(smoke, exported, no_network):
    problems = next((smoke.folder / "results/problems").glob("test-gf11-6to9-s110-*/problems.parquet"))
    prompts = pd.read_parquet(problems)["prompt"].tolist()[:4]
    answers = []
    for folder in exported:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        asked = [tokenizer(prompt, return_tensors="pt") for prompt in prompts]
        answers.append(
            [tokenizer.decode(model.generate(**one, do_sample=False, max_new_tokens=12)[0]) for one in asked]
        )
    assert answers[0] == answers[1]
    assert all(answer.startswith(prompt) for answer, prompt in zip(answers[0], prompts, strict=True))


def test_the_numbers_of_the_card_are_those_of_table_1(smoke, exported):
    card = ModelCard.load(exported[1] / "README.md")
    results = {result.dataset_config: result for result in card.data.eval_results}
    rows = [re.split(r" *\| *", line)[1:-1] for line in card.text.splitlines() if line.startswith("| 6-9 ")]
    shown = {row[1]: row[2:] for row in rows}
    table = pd.read_csv(smoke.published / "tables/table1.csv")
    table = table[(table["sft"] == "FB") & (table["training"] == "rl_6_9")]
    assert set(shown) == set(table["problem_type"]) == {"all", "evaluation", "inversion"}
    for row in table.itertuples():
        result = results[f"6-9, {row.problem_type}"]
        assert result.metric_value == row.pass_at_1
        counted = ("ci_low", "ci_high", "n_problems", "n_samples")
        assert result.metric_args == {name: getattr(row, name) for name in counted}
        rate, interval, right, n_problems = shown[row.problem_type]
        correct = int(right.removesuffix(f" of {row.n_samples}"))
        assert correct / row.n_samples == pytest.approx(row.pass_at_1, abs=1e-6)
        assert rate == f"{100 * row.pass_at_1:.1f}"
        assert interval == f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"
        assert int(n_problems) == row.n_problems


def test_the_card_says_where_the_model_comes_from_and_its_python_asks_it(exported, no_network, capsys):
    artifact, folder = exported
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "transformers")
    assert f"`rl/{artifact.parts[-3]}`" in card.text
    assert {"LICENSE", "provenance.json"} < {path.name for path in folder.iterdir()}
    exec(re.search(r"```python\n(.*?)```", card.text, re.S)[1], {})
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "split", "file"),
    [("FB-train-gf11-s110", "train", "demonstrations"), ("test-gf11-6to9-s110", "test", "problems")],
)
def test_exported_data_load_as_a_dataset(smoke, plan, name, split, file, no_network, tmp_path, monkeypatch):
    monkeypatch.chdir(smoke.folder)
    found = find_artifact(plan, name, ["problems", "demonstrations"])
    write_folder(tmp_path / "data", lambda folder: write_dataset(found, str(tmp_path / "data"), folder))
    artifact = smoke.folder / found.folder
    loaded = load_dataset(str(tmp_path / "data"), split=split, cache_dir=str(tmp_path / "cache"))
    table = pd.read_parquet(artifact / f"{file}.parquet")
    assert loaded["prompt"] == table["prompt"].tolist()
    assert loaded.column_names == list(table)
    card = DatasetCard.load(tmp_path / "data/README.md")
    assert card.data.configs[0]["data_files"] == [{"split": split, "path": f"{file}.parquet"}]
    assert artifact.name in card.text
