"""The split of anyone's generations: known parts, bounds, agreement with the project's own measures, and every file refused that cannot be right."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from conftest import ROOT
from selectimprove.__main__ import main
from selectimprove.analysis.estimates import measure_mechanisms
from selectimprove.analysis.splitting import split
from selectimprove.analysis.splitting.figure import draw_split
from selectimprove.analysis.splitting.tables import read_patterns, read_table
from selectimprove.config.sections import Statistics
from selectimprove.errors import ParamsError

BEFORE = """problem_id,sample,strategy,correct,kind
1,0,a,1,x
1,1,a,0,x
1,2,b,0,x
1,3,b,0,x
2,0,a,true,x
2,1,a,false,x
2,2,b,false,x
2,3,b,true,x
3,0,a,0,y
3,1,a,0,y
3,2,a,0,y
3,3,a,1,y
"""
AFTER = """problem_id,sample,strategy,correct,kind
1,0,a,1,x
1,1,a,1,x
1,2,a,1,x
1,3,b,1,x
2,0,a,1,x
2,1,a,0,x
2,2,a,0,x
2,3,b,0,x
3,0,c,1,y
3,1,c,1,y
3,2,a,0,y
3,3,a,1,y
"""


@pytest.fixture
def files(tmp_path):
    """Two files by hand, and a function that writes one more."""

    def write(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write("before.csv", BEFORE), write("after.csv", AFTER), write


def test_parts_counted_by_hand(files):
    before, after, _ = files
    parts = split(read_table(before), read_table(after), "kind", k=(1, 2)).parts.set_index("kind")
    x = parts.loc["x"]
    # a: share 1/2 to 3/4, rate 1/2 to 4/6; b: share 1/2 to 1/4, rate 1/4 to 1/2.
    assert x["selection"] == pytest.approx(1 / 4 * (7 / 12) - 1 / 4 * (3 / 8))
    assert x["improvement"] == pytest.approx(5 / 8 * (1 / 6) + 3 / 8 * (1 / 4))
    assert (x["pass_at_1_before"], x["pass_at_1_after"], x["change"]) == (3 / 8, 5 / 8, 1 / 4)
    # Of six pairs of samples, problem 1 has three with a correct one, and problem 2 five; afterwards all, and three.
    assert (x["pass_at_2_before"], x["pass_at_2_after"]) == pytest.approx((8 / 12, 9 / 12))
    assert x["identified"]
    assert x["selection_least"] == x["selection_most"] == x["selection"]


def test_a_strategy_that_appears_leaves_bounds(files):
    before, after, _ = files
    result = split(read_table(before), read_table(after), "kind")
    y, both = (result.parts.set_index("kind").loc[kind] for kind in ("y", "all"))
    # a: share 1 to 1/2, rate 1/4 to 1/2; c: share 0 to 1/2, rate unknown to 1.
    of_a = -1 / 2 * (3 / 8)
    assert (y["selection_least"], y["selection_most"]) == pytest.approx((of_a + 1 / 2 * 1 / 2, of_a + 1 / 2))
    assert (y["improvement_least"], y["improvement_most"]) == pytest.approx((3 / 16, 3 / 16 + 1 / 4))
    assert both["selection_low"] <= both["selection_least"] < both["selection_most"] <= both["selection_high"]
    assert not y["identified"]
    fates = result.strategies.set_index(["kind", "strategy"])["fate"]
    assert (fates["y", "c"], fates["y", "a"], fates["x", "c"]) == ("appears", "", "")
    assert np.isnan(result.strategies.set_index(["kind", "strategy"])["pass_rate_before"]["y", "c"])


def test_all_strata_together_count_each_problem_once(files):
    before, after, _ = files
    parts = split(read_table(before), read_table(after), "kind").parts.set_index("kind")
    for name in ("change", "selection", "improvement", "selection_most"):
        assert parts[name]["all"] == pytest.approx((2 * parts[name]["x"] + parts[name]["y"]) / 3)


def test_formats_and_the_order_of_rows_change_nothing(files, tmp_path):
    before, after, write = files
    expected = split(read_table(before), read_table(after), "kind").parts
    truth = {"true": True, "false": False, "1": True, "0": False}
    table = read_table(before).assign(correct=lambda t: t["correct"].map(truth).astype(bool))
    table = table.assign(problem_id=table["problem_id"].astype(int)).sample(frac=1, random_state=0)
    table.to_parquet(tmp_path / "before.parquet")
    # Separators of lines that JSON does not know may stand in its strings.
    rows = [row | {"completion": "one\u2028two"} for row in table.to_dict("records")]
    lines = write("before.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    for path in (tmp_path / "before.parquet", lines):
        pd.testing.assert_frame_equal(split(read_table(path), read_table(after), "kind").parts, expected)


def test_strategies_are_named_by_the_first_pattern_found(files):
    _, _, write = files
    patterns = read_patterns(write("labels.yaml", 'retry: "(?i)\\\\bwait\\\\b"\ncode: "def "\n'))
    told = ["Wait, def f", "so def f", "waiting", ""]
    table = pd.DataFrame({"problem_id": range(4), "completion": told, "correct": [1, 0, 1, 1]})
    named = split(table, table, strategies=patterns).strategies.set_index("strategy")["n_before"]
    assert named.to_dict() == {"code": 1, "other": 2, "retry": 1}


def told_world(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generations and interventions of two checkpoints, as the stage of labels writes them."""
    rng = np.random.default_rng(seed)
    generations, interventions = [], []
    for training, share in (("sft", 0.5), ("rl_6_9", 0.9)):
        for number in range(24):
            of = {"variant": "default", "sft": "FB", "training": training, "seed": "7", "rl_step": 0}
            of |= {"problem_set": "6-9", "problem_type": ["evaluation", "inversion"][number % 2]}
            # Ten comes after nine, though not as text.
            of |= {"problem_id": number, "n_steps": 8 + number // 2 % 3}
            for sample in range(3):
                word = rng.choice(["forward", "backward", "forwards"], p=[share, 0.95 - share, 0.05])
                passed = bool(rng.random() < share)
                generations.append(of | {"sample": sample, "completion": f"{word} e1", "correct": passed})
                interventions += [
                    of | {"sample": sample, "told": told, "greedy": greedy, "correct": bool(rng.random() < share)}
                    for told in ("", "forward", "backward")
                    for greedy in (True, False)
                    if number < 16 and not (greedy and sample) and (told or greedy)
                ]
    return pd.DataFrame(generations), pd.DataFrame(interventions)


def test_told_generations_give_the_numbers_of_the_projects_figure_to_the_last_digit():
    generations, interventions = told_world(0)
    openings = {"forward": "forward", "backward": "backward"}
    statistics = Statistics(confidence=0.95, n_bootstrap=200)
    expected = measure_mechanisms(generations, interventions, "n_steps", openings, statistics)
    expected = expected[expected["seed"] == "7"].set_index("problem_type")
    sides = [
        table[table["training"] == training] for table in (generations, interventions) for training in ("sft", "rl_6_9")
    ]
    found = split(
        *sides[:2],
        ["problem_set", "problem_type"],
        strategies={name: re.compile(rf"^{name}\b") for name in openings},
        told_before=sides[2],
        told_after=sides[3],
        balanced=["n_steps"],
        n_bootstrap=200,
        seed=7,
    ).parts.set_index("problem_type")
    measured = ("change", "selection", "improvement", "sharpening", "capability")
    columns = [name for name in expected if name.startswith(measured)]
    assert len(columns) == 15
    assert found["n_problems"].to_dict() == {"evaluation": 8, "inversion": 8, "all": 16}
    assert (found.loc[expected.index, columns] == expected[columns]).all(axis=None)


TABLES = {"before.csv": BEFORE, "after.csv": AFTER}
PATTERNS = {"labels.yaml": "a: x"}
NAMED = "--strategies labels.yaml"
TOLD = "problem_id,told,greedy,correct\n" + "".join(f"1,{told},{greedy},1\n" for told in "ab" for greedy in (0, 1))
BOTH_TOLD = "--told-before told.csv --told-after told2.csv"
REFUSED = {
    "a file that is not there": ({}, "nowhere.csv after.csv", "nowhere.csv: no such file"),
    "a suffix that is unknown": ({"b.txt": BEFORE}, "b.txt after.csv", "b.txt: the suffix should be one of .parquet"),
    "an empty file": ({"b.csv": ""}, "b.csv after.csv", "b.csv: cannot be read as csv: No columns to parse"),
    "a file without rows": ({"b.csv": "problem_id,strategy,correct\n"}, "b.csv after.csv", "b.csv: no rows"),
    "what is no Parquet": ({"b.parquet": BEFORE}, "b.parquet after.csv", "b.parquet: cannot be read as parquet: "),
    "bytes that are no text": ({"b.csv": b"problem_id\xff\n1\n"}, "b.csv after.csv", "b.csv: cannot be read as csv: "),
    "a line that is not JSON": (
        {"b.jsonl": '{"a": 1}\n{"a'},
        "b.jsonl after.csv",
        "b.jsonl: cannot be read as jsonl: row 2: ",
    ),
    "JSON that is no object": (
        {"b.jsonl": "[1]\n"},
        "b.jsonl after.csv",
        "b.jsonl: cannot be read as jsonl: row 1: expected an object",
    ),
    "rows that are too long": (
        {"b.csv": "problem_id,strategy,correct\n1,a,1,1\n2,a,1,1\n"},
        "b.csv after.csv",
        "b.csv: cannot be read as csv: ",
    ),
    "a missing column": (
        {"b.csv": BEFORE.replace("correct", "right")},
        "b.csv after.csv",
        "b.csv: column correct is missing; columns are problem_id, sample, strategy, right, kind",
    ),
    "strategies that nobody named": (
        {"b.csv": BEFORE.replace("strategy", "way")},
        "b.csv after.csv",
        "b.csv: column strategy is missing; --strategies names them by patterns; columns are problem_id",
    ),
    "a stratum that is no column": ({}, "before.csv after.csv --by sort", "before.csv: column sort is missing"),
    "a stratum that is no property of problems": (
        {},
        "before.csv after.csv --by strategy",
        "before.csv: row 3, column strategy: problem 1 is 'b' here, 'a' in its first row of before.csv",
    ),
    "a problem in the first file only": (
        {"a.csv": AFTER.replace("\n3,", "\n4,")},
        "before.csv a.csv",
        "before.csv: row 9, column problem_id: problem 3 is not in a.csv",
    ),
    "a problem in the second file only": (
        {"a.csv": AFTER + "4,0,a,1,x\n"},
        "before.csv a.csv",
        "a.csv: row 13, column problem_id: problem 4 is not in before.csv",
    ),
    "correct that is neither": (
        {"b.csv": BEFORE.replace("2,1,a,false", "2,1,a,no")},
        "b.csv after.csv",
        "b.csv: row 6, column correct: expected true, false, 1 or 0, found 'no'",
    ),
    "correct that is missing": (
        {"b.csv": BEFORE.replace("1,2,b,0", "1,2,b,")},
        "b.csv after.csv",
        "b.csv: row 3, column correct: is missing",
    ),
    "correct between the two": (
        {"b.jsonl": '{"problem_id": 1, "strategy": "a", "correct": 0.5}\n'},
        "b.jsonl after.csv",
        "b.jsonl: row 1, column correct: expected true, false, 1 or 0, found '0.5'",
    ),
    "a strategy that is missing": (
        {"b.csv": BEFORE.replace("1,1,a,0", "1,1,,0")},
        "b.csv after.csv",
        "b.csv: row 2, column strategy: is missing",
    ),
    "a strategy that is null": (
        {"b.jsonl": '{"problem_id": 1, "strategy": null, "correct": 1}\n'},
        "b.jsonl after.csv",
        "b.jsonl: row 1, column strategy: is missing",
    ),
    "a strategy that is a list": (
        {"b.jsonl": '{"problem_id": 1, "strategy": ["a"], "correct": 1}\n'},
        "b.jsonl after.csv",
        "b.jsonl: row 1, column strategy: expected one value, found ['a']",
    ),
    "a sample twice": (
        {"b.csv": BEFORE.replace("2,1,a", "2,0,a")},
        "b.csv after.csv",
        "b.csv: row 6, column sample: problem 2 has it in a row above too",
    ),
    "a problem of two kinds": (
        {"b.csv": BEFORE.replace("1,1,a,0,x", "1,1,a,0,y")},
        "b.csv after.csv --by kind",
        "b.csv: row 2, column kind: problem 1 is 'y' here, 'x' in its first row of b.csv",
    ),
    "a problem of another kind in the other file": (
        {"a.csv": AFTER.replace(",y", ",z")},
        "before.csv a.csv --by kind",
        "a.csv: row 9, column kind: problem 3 is 'z' here, 'y' in its first row of before.csv",
    ),
    "a kind that is called all": (
        {"b.csv": BEFORE.replace(",y", ",all"), "a.csv": AFTER.replace(",y", ",all")},
        "b.csv a.csv --by kind",
        "b.csv: --by: 'all' is what all strata together are called",
    ),
    "more samples than there are": (
        {},
        "before.csv after.csv --k 1 8",
        "before.csv: --k: expected 1 to 4, as many generations as problem 1 has, found 1 8",
    ),
    "completions that are not there": (
        PATTERNS,
        f"before.csv after.csv {NAMED}",
        "before.csv: column completion is missing",
    ),
    "no patterns": ({}, f"before.csv after.csv {NAMED}", "labels.yaml: cannot be read: No such file"),
    "patterns that are no YAML": (
        {"labels.yaml": "a: ["},
        f"before.csv after.csv {NAMED}",
        "labels.yaml: line 1: not YAML: ",
    ),
    "patterns without names": (
        {"labels.yaml": "- x"},
        f"before.csv after.csv {NAMED}",
        "labels.yaml: expected keys with values",
    ),
    "a pattern that is none": (
        {"labels.yaml": "a: x\nb: '('"},
        f"before.csv after.csv {NAMED}",
        "labels.yaml: line 2: b: '(' is not a regular expression: missing )",
    ),
    "a pattern that is a number": (
        {"labels.yaml": "a: 1"},
        f"before.csv after.csv {NAMED}",
        "labels.yaml: line 1: a: expected",
    ),
    "a name twice": (
        {"labels.yaml": "a: x\na: y"},
        f"before.csv after.csv {NAMED}",
        'labels.yaml: line 2: not YAML: found duplicate key "a"',
    ),
    "told generations of one side": (
        {"told.csv": TOLD},
        "before.csv after.csv --told-before told.csv",
        "--told-after: is missing; told generations are needed before and after",
    ),
    "told generations of an unknown problem": (
        {"told.csv": TOLD.replace("1,b,1", "9,b,1"), "told2.csv": TOLD},
        f"before.csv after.csv {BOTH_TOLD}",
        "told.csv: row 4, column problem_id: problem 9 is not in before.csv",
    ),
    "told generations that are incomplete": (
        {"told.csv": TOLD, "told2.csv": TOLD.replace("1,b,0,1\n", "")},
        f"before.csv after.csv {BOTH_TOLD}",
        "told2.csv: no row with problem_id 1, told b and greedy False",
    ),
    "told generations that were told nothing": (
        {"told.csv": "problem_id,told,greedy,correct\n1,,0,1\n", "told2.csv": TOLD},
        f"before.csv after.csv {BOTH_TOLD}",
        "told.csv: column told: names no strategy in any row",
    ),
    "a told strategy that nothing takes": (
        {"told.csv": TOLD.replace("1,b,", "1,B,"), "told2.csv": TOLD},
        f"before.csv after.csv {BOTH_TOLD}",
        "told.csv: row 3, column told: no generation takes this strategy; they take a, b, c",
    ),
    "a backspace in place of a word boundary": (
        {"labels.yaml": 'a: "(?i)\\bwait\\b"'},
        f"before.csv after.csv {NAMED}",
        r"labels.yaml: line 1: a: '(?i)\x08wait\x08' holds a backspace, YAML's \b in double quotes; use single quotes",
    ),
    "a pattern that is found nowhere": (
        {name: content.replace("strategy", "completion") for name, content in TABLES.items()}
        | {"labels.yaml": "a: a\nz: wait"},
        f"before.csv after.csv {NAMED}",
        "--strategies: z: names no completion of before.csv or after.csv",
    ),
    "confidence beyond 1": ({}, "before.csv after.csv --confidence 95", "confidence 95.0 should lie between 0 and 1"),
    "half an emoji in JSON": (
        {"before.jsonl": '{"problem_id": 1, "strategy": "a", "correct": 1}\n{"strategy": "\\ud83d"}\n'},
        "before.jsonl after.csv",
        r"before.jsonl: cannot be read as jsonl: row 2: half an emoji, '\ud83d'; drop it",
    ),
    "an output that is there": (
        {"strategies.csv": "mine"},
        "before.csv after.csv --output .",
        "--output .: has strategies.csv; remove them, or name another folder",
    ),
    "an output that is a file": (
        {},
        "before.csv after.csv --output before.csv/x",
        "--output before.csv/x: Not a directory",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_one_line(mistake, tmp_path, monkeypatch):
    written, arguments, expected = REFUSED[mistake]
    for name, content in (TABLES | written).items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        main(["split", *arguments.split(), "--resamples", "2"])
    assert str(refused.value).startswith(expected)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", ["--k 0", "--k 1.5", "--resamples 0", "--seed -1"])
def test_what_is_no_number_is_refused(wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["split", "before.csv", "after.csv", *wrong.split()])
    option, given = wrong.split()
    assert f"argument {option}: {given!r} is not a whole number from " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["costs $5 or $6", r"$\frac$", "a_b^c"])
def test_a_name_is_drawn_as_it_is_written(name, tmp_path, monkeypatch):
    for file, content in TABLES.items():
        table = pd.read_csv(io.StringIO(content))
        table.replace({"strategy": {"a": name}}).to_csv(tmp_path / file, index=False)
    monkeypatch.chdir(tmp_path)
    main(["split", "before.csv", "after.csv", "--resamples", "2", "--output", "out"])
    assert sorted(path.name for path in Path("out").iterdir()) == ["split.csv", "split.png", "strategies.csv"]
    figure = draw_split(split(*(pd.read_csv(file) for file in TABLES), n_bootstrap=2))
    assert name in {text.get_text() for text in figure.findobj(Text)}
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text() == name)


def test_one_problem_has_no_interval(files, capsys, monkeypatch):
    before, after, _ = files
    parts = split(read_table(before), read_table(after), "kind", n_bootstrap=20).parts.set_index("kind")
    ends = parts.loc["y", [name for name in parts if name.endswith(("_low", "_high"))]]
    assert ends.isna().all()
    assert parts.loc["y", "change"] == 1 / 2
    monkeypatch.chdir(before.parent)
    main(["split", "before.csv", "after.csv", "--by", "kind", "--resamples", "20", "--confidence", "0.975"])
    printed = capsys.readouterr().out
    assert "with 97.5% intervals" in printed
    assert "+50.0 [–, –]" in printed


@pytest.mark.parametrize("n", [2, 50])
def test_problems_that_all_agree_leave_an_interval(n):
    table = pd.DataFrame({"problem_id": range(n), "strategy": "a", "correct": True})
    found = split(table.assign(correct=False), table, n_bootstrap=20).parts.iloc[0]
    half = 1.959964 * np.sqrt(2) / (n + 2)
    for name, value in (("change", 1.0), ("improvement", 1.0), ("selection", 0.0)):
        assert found[name] == pytest.approx(value)
        low, high = max(value - half, -1), min(value + half, 1)
        assert (found[f"{name}_low"], found[f"{name}_high"]) == pytest.approx((low, high), abs=1e-6)


def test_a_file_does_not_differ_from_itself(files):
    before, _, _ = files
    parts = split(*[read_table(before)] * 2, n_bootstrap=20, names=["same.csv", "same.csv", "", ""]).parts
    assert parts[["change", "selection", "improvement"]].eq(0).all(axis=None)


def test_dataframes_are_refused_by_their_names():
    table = pd.DataFrame({"problem_id": [1], "strategy": ["a"], "correct": [True]})
    with pytest.raises(ParamsError, match="after: row 1, column strategy: is missing"):
        split(table, table.assign(strategy=np.nan))


def test_the_pages_example_runs_away_from_the_repository_without_torch(tmp_path, monkeypatch):
    page = (ROOT / "workflow/docs/split.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.S)[1]
    command = re.search(r"```bash\nselectimprove (.*?)\n", page)[1]
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    # What imports torch fails here.
    (tmp_path / "torch.py").write_text("raise ImportError('torch')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'workflow'}"}
    done = subprocess.run(
        [sys.executable, "-m", "selectimprove", *command.split()], env=environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.split() == re.search(r"```text\n(.*?)```", page, re.S)[1].split()
    assert {path.name for path in (tmp_path / "split").iterdir()} == {"split.png", "split.csv", "strategies.csv"}
    assert (tmp_path / "split/split.png").read_bytes().startswith(b"\x89PNG")
