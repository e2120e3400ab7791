"""A user's mistakes: one clear line with file, line and key, before any job starts."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, Checkout
from selectimprove.config.loading import load_params, read_scalars, read_yaml
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

EDITED = {
    "params": ("params.yaml", "laptop"),
    "scales": ("scales/smoke.yaml", "smoke"),
    "claims": ("claims.yaml", "laptop"),
    "notebooks": ("notebooks/figure2.ipynb", "laptop"),
}
"""By name of a corpus: the file that its mistakes are in, and the scale at which it is read."""
MISTAKES = {
    (corpus, mistake): edit
    for corpus in EDITED
    for mistake, edit in yaml.safe_load((Path(__file__).parent / f"bad_input/{corpus}.yaml").read_text()).items()
}


@pytest.fixture
def inputs(tmp_path, monkeypatch) -> Path:
    """All that a person may edit, in a folder of its own."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "workflow/claims.yaml", tmp_path)
    shutil.copytree(ROOT / "workflow/scales", tmp_path / "scales")
    shutil.copytree(ROOT / "workflow/notebooks", tmp_path / "notebooks")
    monkeypatch.setattr("selectimprove.config.loading.SCALES", tmp_path / "scales")
    monkeypatch.setattr("selectimprove.config.sources.NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr("selectimprove.analysis.claims.CLAIMS", tmp_path / "claims.yaml")
    return tmp_path


def make_mistake(path: Path, edit: dict) -> int:
    """Make it, and return the number of the line where the edit begins."""
    text, line = path.read_text(), 1
    if "old" in edit:
        assert edit["old"] in text, f"{path.name} has no {edit['old']!r}"
        before, _, after = text.partition(edit["old"])
        line += before.count("\n")
        text = before + edit["new"] + ("" if edit.get("cut") else after)
        text = text.replace(edit["also_old"], "") if "also_old" in edit else text
    elif "repeat" in edit:
        text = edit["repeat"][0] * edit["repeat"][1]
    else:
        text = edit["content"]
    path.write_text(text)
    return line


@pytest.mark.parametrize(("corpus", "mistake"), MISTAKES)
def test_a_mistake_is_named_in_one_line(inputs, corpus, mistake):
    edit, (file, scale) = MISTAKES[corpus, mistake], EDITED[corpus]
    first = make_mistake(inputs / file, edit)
    for name, content in edit.get("also", {}).items():
        (inputs / name).write_text(content)
    with pytest.raises(ParamsError) as found:
        Plan(load_params(inputs / "params.yaml", {"scale": scale} if scale != "laptop" else None))
    lines = str(found.value).splitlines()
    # One for each figure or table that needs what is not there.
    assert len(lines) > 1 if edit.get("lines") == "many" else len(lines) == edit.get("lines", 1), found.value
    expected = [edit["says"]] if isinstance(edit["says"], str) else edit["says"]
    expected = [re.sub(r"\{edit\+(\d)\}", lambda after: str(first + int(after[1])), part) for part in expected]
    assert any(all(part in line for part in expected) for line in lines), found.value
    assert all(line.startswith(("params.yaml", "claims.yaml", "workflow/")) and len(line) < 500 for line in lines)


def test_bytes_that_are_no_text_are_named_with_their_line(inputs):
    (inputs / "params.yaml").write_bytes((inputs / "params.yaml").read_bytes().replace(b"[110]", b"[110] # \xff"))
    with pytest.raises(ParamsError, match=r"params\.yaml: line \d+: not UTF-8 text"):
        load_params(inputs / "params.yaml")


def test_a_mistake_of_the_command_line_is_named(inputs):
    with pytest.raises(ParamsError) as found:
        load_params(inputs / "params.yaml", {"rl": {"group_size": 1}, "base": {"n_stepps": 1}})
    assert [line.partition(": ")[::2][0] for line in str(found.value).splitlines()] == ["--config", "--config"]


def test_numbers_and_keys_are_what_yaml_1_2_says(tmp_path):
    (tmp_path / "values.yaml").write_text("octal: 0107\nhex: 0xBB8\nrate: 1e-5\ntime: 1:47\nyes: no\ntruth: true\n")
    values = {"octal": 107, "hex": 3000, "rate": 1e-5, "time": "1:47", "yes": "no", "truth": True}
    file = read_yaml(tmp_path / "values.yaml")
    assert file.content == values
    assert [file.place(key) for key in values] == [f"values.yaml: line {number}" for number in range(1, 7)]


def test_texts_of_the_command_line_are_read_as_a_file_is():
    given = {"n": "3", "rate": "1e-5", "off": "false", "none": "null", "list": ["1", "a"], "text": "a: b", "open": "["}
    read = {"n": 3, "rate": 1e-5, "off": False, "none": None, "list": [1, "a"], "text": "a: b", "open": "["}
    assert read_scalars(given) == read


def test_an_alias_and_a_merged_mapping_are_no_mistakes(inputs):
    text = (inputs / "params.yaml").read_text()
    text = text.replace("      rl_2_5: {", "      rl_2_5: &easy {", 1).replace(
        "rl_4_7: {steps: [4, 7], evaluation_share: 0.5}", "rl_4_7: {<<: *easy, steps: [4, 7]}"
    )
    (inputs / "params.yaml").write_text(text)
    assert load_params(inputs / "params.yaml") == load_params(ROOT / "params.yaml")


@pytest.mark.parametrize("scale", ["laptop", "smoke", "paper", "rehearsal", "small", "workstation"])
def test_what_is_right_passes_at_every_scale(scale):
    plan = Plan(load_params(ROOT / "params.yaml", {"scale": scale}))
    assert {"figure2", "table1"} <= plan.exhibits.keys()


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


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.integers(-1, 40),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["main", "chains", "FB", "none", "rl_6_9", "default", "../..", "1e3", "a\nb"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


def places(content: object, above: tuple = ()) -> list[tuple]:
    """List where something may be changed, from the top."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    found = []
    for key in keys:
        found += [(*above, key), *places(content[key], (*above, key))]
    return found


PLACES = places(PARAMS)


def changed(content: object, place: tuple, how: str, value: object) -> object:
    """Return a copy with one place deleted, replaced, renamed or doubled."""
    copy = content.copy()
    key, *below = place
    if key not in (copy if isinstance(copy, dict) else range(len(copy))):
        return copy
    if below:
        copy[key] = changed(copy[key], tuple(below), how, value) if isinstance(copy[key], dict | list) else value
    elif how == "delete":
        del copy[key]
    elif how == "rename" and isinstance(copy, dict):
        copy[str(value)] = copy.pop(key)
    elif how == "double" and isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[key] = value
    return copy


CHANGES = st.tuples(
    st.sampled_from(PLACES), st.sampled_from(["delete", "replace", "replace", "rename", "double"]), VALUES
)
RIGHT = load_params(ROOT / "params.yaml")
TEXT = (ROOT / "params.yaml").read_text().splitlines(keepends=True)


def plan_or_refuse(path: Path) -> None:
    """Plan; what is refused has to be so in lines that begin with a file, what is accepted must name files safely."""
    try:
        params = load_params(path)
        # Comments alone were changed, as often where it is typed: that plan is known.
        plan = Plan(params) if params != RIGHT else None
    except ParamsError as error:
        lines = str(error).split("\n")
        assert all(line.startswith(("params.yaml: ", "claims.yaml: ", "workflow/")) for line in lines), lines
        assert all(line.isprintable() for line in lines), lines
    else:
        stages = plan.artifacts if plan else {}
        names = [artifact.name for artifacts in stages.values() for artifact in artifacts.values()]
        assert not [name for name in names if "/" in name or name.startswith(".") or len(name.encode()) > 200]


@settings(max_examples=80, deadline=20000)
@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_whatever_is_changed_gives_a_plan_or_a_line_per_mistake(tmp_path_factory, changes):
    content = PARAMS
    for place, how, value in changes:
        content = changed(content, place, how, value)
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))
    plan_or_refuse(path)


@settings(max_examples=50, deadline=20000)
@given(
    st.integers(0, len(TEXT) - 1),
    st.sampled_from(["delete", "double", "insert", "cut"]),
    st.integers(0, 200),
    st.text(st.sampled_from("{}[]:,#&*!|>-?'\"%@`\n\t 0aé\u2028\0"), min_size=1, max_size=4),
)
def test_whatever_is_typed_gives_a_plan_or_a_line_per_mistake(tmp_path_factory, number, how, column, typed):
    lines = TEXT.copy()
    line = lines[number]
    ways = {"delete": "", "double": 2 * line, "insert": line[:column] + typed + line[column:], "cut": line[:column]}
    lines[number] = ways[how]
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_text("".join(lines))
    plan_or_refuse(path)
