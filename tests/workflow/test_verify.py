"""`snakemake --cores all verify`: silent on what is untouched, and naming every one of two dozen planted errors."""

import hashlib
import json
import re
import shutil
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest

from conftest import ROOT, SMOKE_SEEDS, Checkout
from selectimprove.artifacts.keys import digest
from selectimprove.artifacts.provenance import file_hash, folder_hashes
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES
from selectimprove.reports.remaking import Checked, check_artifact, make_again

SEED, OTHER_SEED = (f"s{seed}" for seed in SMOKE_SEEDS)


def find(folder: Path, pattern: str) -> Path:
    """Find a file of an artifact that the published figures were made from: others, of other params, lie beside them."""
    made_from = Checkout(folder).made_from("audit")
    found = sorted((folder / "results").glob(pattern))
    return next(path for path in found if "/".join(path.relative_to(folder / "results").parts[:2]) in made_from)


def edit_table(path: Path, change, cover: bool = False) -> None:
    """Write what `change` makes of a table; to cover it up, forge the hash that was recorded for the file too."""
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    if cover:
        record(path)


def with_value(table: pd.DataFrame, column: str, change, row: int = 0) -> pd.DataFrame:
    values = list(table[column])
    values[row] = change(values[row])
    return table.assign(**{column: values})


def record(path: Path) -> None:
    folder = next(parent for parent in path.parents if (parent / "provenance.json").exists())
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["files"][str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


ROLLOUTS = f"rl/FB-gf11-rl_6_9-{SEED}-*/rollouts.parquet"
GENERATIONS = f"evaluation/FB-gf11-rl_6_9-{SEED}-*/generations.parquet"
LABELS = f"labels/FB-gf11-rl_6_9-{SEED}-*/generations.parquet"
WEIGHTS = f"rl/FB-gf11-rl_6_9-{SEED}-*/checkpoints/step-0004/model.safetensors"


def flip_reward(folder, cover=False):
    edit_table(find(folder, ROLLOUTS), lambda t: with_value(t, "reward", lambda r: 1 - r), cover)


def change_label(folder, cover=False):
    edit_table(
        find(folder, LABELS),
        lambda t: with_value(t, "strategy", lambda s: "forward" if s != "forward" else "other"),
        cover,
    )


def drop_row(folder):
    edit_table(find(folder, GENERATIONS), lambda t: t.iloc[1:])


def double_row(folder):
    edit_table(find(folder, GENERATIONS), lambda t: pd.concat([t.iloc[:1], t]), cover=True)


def change_completion(folder):
    edit_table(find(folder, GENERATIONS), lambda t: with_value(t, "completion", lambda c: c + " answer e1"), cover=True)


def flip_byte(folder):
    path = find(folder, WEIGHTS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def swap_checkpoints(folder):
    one, other = (find(folder, WEIGHTS.replace(SEED, seed)).parents[1] for seed in (SEED, OTHER_SEED))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def swap_models(folder):
    """Swap whole artifacts, records and all."""
    one, other = (find(folder, f"rl/FB-gf11-rl_6_9-{seed}-*/provenance.json").parent for seed in (SEED, OTHER_SEED))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def edit_config(folder):
    edit_json(find(folder, f"sft/FB-gf11-{SEED}-*/config.json"), lambda c: c.update(n_epochs=2))


def drop_checkpoint(folder):
    edit_table(find(folder, GENERATIONS), lambda t: t[t["rl_step"] != t["rl_step"].min()], cover=True)


def paint_over(folder):
    path = find(folder, "exhibits/seeds-*/seeds.svg")
    path.write_text(path.read_text().replace("</svg>", "<rect width='99' height='99'/></svg>"))
    record(path)


def older_figure(folder):
    shutil.copyfile(ROOT / "results/figures/figure2.png", folder / "results/smoke/figures/seeds.png")


def edit_plotted_data(folder):
    path = folder / "results/smoke/figures/seeds.csv"
    table = pd.read_csv(path)
    with_value(table, "pass_at_1", lambda rate: rate + 0.1).to_csv(path, index=False)


def edit_metrics(folder):
    edit_json(folder / "results/smoke/metrics.json", lambda m: m["table1"]["FB_rl_6_9"].update(all=0.99))


def edit_verdict(folder):
    path = folder / "results/smoke/audit/claims.csv"
    path.write_text(re.sub(",(smaller|reversed|inconclusive),", ",reproduced,", path.read_text(), count=1))


def change_source(folder):
    path = folder / "workflow/selectimprove/training/grpo.py"
    text = path.read_text()
    changed = text.replace('"scale_rewards": "group"', '"scale_rewards": "batch"')
    assert changed != text
    path.write_text(changed)


def leak_test_problem(folder):
    test = pd.read_parquet(find(folder, f"problems/test-gf11-6to9-{SEED}-*/problems.parquet")).iloc[[0]]
    path = find(folder, f"problems/rl-gf11-6to9-{SEED}-*/problems.parquet")
    edit_table(path, lambda t: pd.concat([test, t.iloc[1:]], ignore_index=True), cover=True)


def change_pass_rate(folder):
    path = find(folder, "measures/main-*/pass_rates.parquet")
    edit_table(path, lambda t: with_value(t, "pass_at_1", lambda rate: rate + 0.1, len(t) - 1), cover=True)


def forge_record(folder):
    edit_json(Checkout(folder).record_of("seeds"), lambda r: r["files"].update({"figures/seeds.png": "0" * 64}))


def forge_lineage(folder):
    """Say in the record of a figure that an artifact behind it had other content."""
    name = str(find(folder, f"base/gf11-{SEED}-*/provenance.json").parent.relative_to(folder / "results"))
    edit_json(Checkout(folder).record_of("seeds"), lambda r: r["made_from"].update({name: "0" * 64}))


def change_demonstration(folder):
    path = find(folder, f"demonstrations/FB-train-gf11-{SEED}-*/demonstrations.parquet")
    edit_table(path, lambda t: with_value(t, "completion", lambda c: c[:-1] + "0"), cover=True)


def smuggle_pickle(folder):
    path = find(folder, WEIGHTS).with_name("optimizer.pt")
    path.write_bytes(b"no safetensors")
    record(path)


def change_answer(folder):
    path = find(folder, f"problems/test-gf11-6to9-{SEED}-*/problems.parquet")
    edit_table(path, lambda t: with_value(t, "answer", lambda a: (a + 1) % 11), cover=True)


def lose_file(folder):
    find(folder, f"base/gf11-{SEED}-*/training.parquet").unlink()


def rename_input(folder):
    edit_json(find(folder, f"rl/FB-gf11-rl_6_9-{SEED}-*/provenance.json"), lambda p: p["inputs"].update(sft="another"))


def edit_table_text(folder):
    path = folder / "results/smoke/tables/table1.md"
    path.write_text(path.read_text().replace("95.7", "65.7"))


def edit_page(folder):
    path = folder / "results/smoke/audit/index.html"
    path.write_text(re.sub("(smaller|reversed|inconclusive)</span>", "reproduced</span>", path.read_text(), count=1))


def edit_undrawn(folder):
    (folder / "results/smoke/figures/gf13.csv").write_text("sft,pass_at_1\nFB,1.0\n")


def edit_what_was_drawn_elsewhere(folder):
    """Edit a figure that is not drawn by default, of which the artifacts were left on another machine."""
    overlay = folder / "workflow/scales/smoke.yaml"
    text = overlay.read_text()
    assert "draw: true" in text
    overlay.write_text(text.replace("draw: true", "draw: false"))
    shutil.rmtree(find(folder, "exhibits/seeds-*"))
    (folder / "results/smoke/figures/seeds.csv").write_text("sft,pass_at_1\nFB,1.0\n")


PLANTED = [
    (flip_reward, "rollouts.parquet", "has changed since it was made"),
    (
        partial(flip_reward, cover=True),
        f"labels/FB-gf11-rl_6_9-{SEED}",
        "rollouts.parquet: differs from what its inputs give: row 0, column reward",
    ),
    (change_label, f"labels/FB-gf11-rl_6_9-{SEED}", "has changed since it was made"),
    (
        partial(change_label, cover=True),
        "differs from what its inputs give: row 0, column",
    ),
    (drop_row, f"evaluation/FB-gf11-rl_6_9-{SEED}", "has changed since it was made"),
    (
        double_row,
        f"labels/FB-gf11-rl_6_9-{SEED}",
        "generations.parquet: differs from what its inputs give",
        "rows, not",
    ),
    (drop_checkpoint, f"labels/FB-gf11-rl_6_9-{SEED}", "generations.parquet: differs from what its inputs give"),
    (paint_over, "exhibits/seeds", "seeds.svg: differs from what its inputs give"),
    (change_completion, f"labels/FB-gf11-rl_6_9-{SEED}", "differs from what its inputs give"),
    (flip_byte, "step-0004/model.safetensors", "has changed since it was made"),
    (swap_checkpoints, f"rl/FB-gf11-rl_6_9-{OTHER_SEED}", "model.safetensors: has changed since it was made"),
    (swap_models, f"rl/FB-gf11-rl_6_9-{OTHER_SEED}", "config.json: is not the config of the key"),
    (edit_config, f"sft/FB-gf11-{SEED}", "config.json: is not the config of the key"),
    (older_figure, "results/smoke/figures/seeds.png", "is not the file of results/exhibits/seeds"),
    (edit_plotted_data, "results/smoke/figures/seeds.csv", "is not the file of results/exhibits/seeds"),
    (edit_metrics, "results/smoke/metrics.json", "table1 is not what results/exhibits/table1"),
    (edit_verdict, "results/smoke/audit/claims.csv", "is not the file of results/verdicts/"),
    (leak_test_problem, f"problems/rl-gf11-6to9-{SEED}", "problem 0 is test problem 0"),
    (change_pass_rate, "measures/main", "pass_rates.parquet: differs from what its inputs give"),
    (forge_record, "results/smoke/published/seeds-", "does not record what is published"),
    (forge_lineage, "results/smoke/published/seeds-", "does not record what is published"),
    (
        change_demonstration,
        f"demonstrations/FB-train-gf11-{SEED}",
        "differs from what its inputs give: row 0, column completion",
    ),
    (smuggle_pickle, "optimizer.pt", "might hold code"),
    (change_answer, f"problems/test-gf11-6to9-{SEED}", "differs from what its inputs give: row 0, column answer"),
    (lose_file, f"base/gf11-{SEED}", "training.parquet: is missing"),
    (rename_input, f"rl/FB-gf11-rl_6_9-{SEED}", "names other inputs than the key"),
    (edit_page, "results/smoke/audit/index.html", "is not the page of these artifacts"),
    (edit_undrawn, "results/smoke/figures/gf13.csv: is not as it was published"),
    (edit_what_was_drawn_elsewhere, "results/smoke/figures/seeds.csv: is not as it was published"),
    (edit_table_text, "results/smoke/tables/table1.md", "is not the file of results/exhibits/table1"),
]


@cache
def state_of(artifact: Artifact) -> str:
    """Digest all files of an artifact and of what it was made from, which do not change while one process verifies."""
    record = artifact.done.exists() and file_hash(artifact.done)
    return digest([artifact.name, folder_hashes(artifact.folder), record, *map(state_of, artifact.inputs.values())])


def check_once(kept: Path, scale: str, resources, checkpoints: str, artifact: Artifact, drawn: bool) -> Checked:
    """Check an artifact, unless another test has checked it and all that it was made from, as they are."""
    said = kept / state_of(artifact)
    if not said.exists():
        said.write_text(json.dumps(check_artifact(scale, resources, checkpoints, artifact, drawn)))
    return Checked(*json.loads(said.read_text()))


@pytest.fixture
def checked_once(monkeypatch, tmp_path_factory) -> None:
    """Let verification check, over all tests, an artifact again, and make it again, only where something is not as it was."""
    kept = tmp_path_factory.getbasetemp()
    (kept / "checked").mkdir(exist_ok=True)

    def make_once(artifact: Artifact, output: Path, resources) -> None:
        hashes = {role: folder_hashes(source.folder) for role, source in artifact.inputs.items()}
        made = kept / "remade" / digest([artifact.stage, artifact.config.model_dump(mode="json"), hashes])
        if made.exists():
            shutil.copytree(made, output)
        else:
            make_again(artifact, output, resources)
            shutil.copytree(output, made)

    monkeypatch.setattr("selectimprove.reports.remaking.make_again", make_once)
    monkeypatch.setattr("selectimprove.reports.verify.check_artifact", partial(check_once, kept / "checked"))


@pytest.mark.usefixtures("checked_once")
def test_an_untouched_tree_passes_and_one_line_says_what_was_verified(audited, monkeypatch, capsys):
    assert audited.mismatches(monkeypatch) == []
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.startswith("verified: "))
    assert re.match(r"verified: \d+ artifacts, \d+ of them made again with the same result, and 3 publications$", line)
    assert re.search(r"^taken on trust, as recorded: .*\b\d+ of sft\b.* \(verify.spot makes them again\)$", said, re.M)
    assert re.search(r"^made again from inputs that are taken on trust: .*\b\d+ of labels\b", said, re.M)
    assert re.search(r"^claims and their margins: claims.yaml .*; the first of these runs began 20\d\d-", said, re.M)


@pytest.mark.parametrize(("plant", "expected"), [(plant, expected) for plant, *expected in PLANTED])
@pytest.mark.usefixtures("checked_once")
def test_a_planted_error_is_found_and_named(audited, tmp_path, monkeypatch, plant, expected):
    copy = audited.copy(tmp_path / "repository")
    plant(copy.folder)
    lines = copy.mismatches(monkeypatch)
    assert any(all(part in line for part in expected) for line in lines), "\n".join(lines)


@pytest.mark.usefixtures("checked_once")
def test_a_table_that_is_cut_short_hides_nothing_else(audited, tmp_path, monkeypatch):
    copy = audited.copy(tmp_path / "repository")
    path = find(copy.folder, f"problems/test-gf11-6to9-{SEED}-*/problems.parquet")
    path.write_bytes(path.read_bytes()[:100])
    edit_plotted_data(copy.folder)
    said = "\n".join(copy.mismatches(monkeypatch))
    assert f"{path.relative_to(copy.folder)}: has changed since it was made" in said
    assert "test problems among training problems: not checked to the end" in said
    assert "results/smoke/figures/seeds.csv: is not the file of results/exhibits/seeds" in said


def test_a_source_changed_after_the_run_is_named_and_fails_the_command(audited, tmp_path):
    copy = audited.copy(tmp_path / "repository")
    change_source(copy.folder)
    done = copy.run("snakemake --cores 1 verify", check=False)
    assert done.returncode
    assert any(
        "results/rl/" in line and "missing: expected for" in line and "(source of training/grpo.py" in line
        for line in done.stderr.splitlines()
    )


@pytest.mark.usefixtures("checked_once")
def test_of_much_that_is_missing_a_line_says_how_to_make_it_or_leave_it_out(audited, tmp_path, monkeypatch, capsys):
    copy = audited.copy(tmp_path / "repository")
    for done in copy.folder.glob(f"results/*/*-{OTHER_SEED}-*/provenance.json"):
        shutil.rmtree(done.parent)
    lines = [line for line in copy.mismatches(monkeypatch) if "missing: expected for" in line]
    assert 0 < len(lines) <= 3 * len(STAGES)
    assert any(re.search(r" and \d+ more of \w+: missing", line) for line in lines), lines
    assert all("run `snakemake --cores all figures audit --config scale=smoke`" in line for line in lines)
    assert "verify={only: [table1]}" in capsys.readouterr().out
    # What is there is compared all the same, and what was asked for alone passes.
    (copy.folder / "results/smoke/tables/table1.csv").write_text("sft\n")
    said = "\n".join(copy.mismatches(monkeypatch))
    assert "results/smoke/tables/table1.csv: is not the file of results/exhibits/table1" in said
    copy.run("snakemake --cores all --force publish_table1")
    copy.run("snakemake --cores all verify --config 'verify={only: [main]}'")
