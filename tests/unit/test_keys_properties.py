"""What a key sees and what it does not."""

import ast
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.artifacts.keys import (
    LEFT_OUT,
    PACKAGE,
    canonical_source,
    digest,
    imported_modules,
    module_path,
    notebook_source,
    source_digests,
)
from selectimprove.dag.table import STAGES
from selectimprove.tasks.interface import task_names

SOURCE = "class A:\n    n = 1\n\n    async def f(self, x, y=2):\n        return [x + y for _ in 'ab']\n"
DRESSED = (
    "'''Module.'''\n\n# Remark.\nclass A:\n  '''Class.'''\n  n = (1)  # Remark.\n  async def f(self, x,\n"
    "              y = 2):\n    '''Method.'''\n    return [x + y\n            for _ in \"ab\"]\n"
)


def test_dress_does_not_count_in_classes_and_coroutines():
    assert canonical_source(DRESSED) == canonical_source(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("n = 1", "n = 2"), ("x + y", "x - y"), ("y=2", "y=3"), ("'ab'", "'abc'"), ("class A", "class B"), ("async ", "")],
)
def test_code_counts(old, new):
    assert canonical_source(SOURCE) != canonical_source(SOURCE.replace(old, new))


def test_a_string_that_is_not_documentation_counts():
    assert canonical_source("def f():\n    return 'a'") != canonical_source("def f():\n    return 'b'")


def test_documentation_below_an_assignment_does_not_count():
    """As below `field.INVERSE` or `problems.ENUMERABLE`: rewording it must not call for new models."""
    assert canonical_source("N = 1\n'''Some number.'''\n") == canonical_source("N = 1\n")


def test_modules_import_each_other_by_names_that_keys_recognise():
    """A relative import would go unseen, and a stale result be found under a current key."""
    for path in PACKAGE.rglob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not [node.lineno for node in imports if node.level], path.name


def test_a_renamed_or_nested_import_is_found():
    source = (
        "def f():\n    import selectimprove.tasks.field as g\n    from selectimprove.tasks import shared as r, field\n"
    )
    assert imported_modules(source) == {"tasks.field", "tasks.shared"}


def test_a_lookalike_package_is_not_this_one():
    assert imported_modules("import selectimprove_more.field\nfrom selectimprove_more import keys2\n") == set()


@pytest.mark.parametrize("module", ["stages.rl", "stages.labels", "stages.measures", "tasks.compositions.problems"])
def test_a_closure_is_closed_and_without_the_frame(module):
    closure = set(source_digests(frozenset({module})))
    assert module in closure
    assert not closure & LEFT_OUT.keys()
    # The folder of a task counts without what it imports, which is all aspects.
    inner = closure - {f"tasks.{task}" for task in task_names()}
    assert all(set(source_digests(frozenset({module}))) <= closure for module in inner)


def test_a_run_of_rl_depends_on_reward_and_sampling_but_not_on_the_labeler():
    rl, label = (
        set(source_digests(frozenset({f"stages.{stage}", f"tasks.chains.{aspect}"})))
        for stage, aspect in (("rl", "problems"), ("labels", "labels"))
    )
    assert {"stages.rl", "tasks.shared", "training.sampling"} <= rl
    assert "tasks.chains.labels" in label - rl


@pytest.mark.parametrize("module", LEFT_OUT)
def test_what_is_left_out_exists_and_is_imported_by_a_stage(module):
    """A module that no stage imports needs no reason to be left out, and one that was renamed would count without one."""
    importers = [
        path
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] in ("stages", "training", "tasks", "analysis")
    ]
    name = f"selectimprove.{module}".rstrip(".")
    assert module_path(module).is_file() if module else True
    assert module in ("", "stages") or any(f"from {name} import" in path.read_text() for path in importers)


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_a_stage_that_needs_no_model_does_not_count_what_trains(stage):
    source = set(source_digests(frozenset({stage.module})))
    computes = any(module.startswith("training.") for module in source)
    assert computes == (stage.needs != "light" or stage.local)


def test_the_cells_of_a_notebook_count_in_their_order(tmp_path):
    def source(*lines):
        path = tmp_path / "notebook.ipynb"
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [line]} for line in lines]}))
        return notebook_source(path)

    assert source("x = 1", "x = 2") != source("x = 2", "x = 1")
    # Magics are no Python, but they count, wherever they stand.
    magics = [
        source("%matplotlib inline"),
        source("%matplotlib agg"),
        source("if x:\n    %time f()"),
        source("if x:\n    !ls"),
        source("%%time\ny = = 2"),
    ]
    assert len(set(map(canonical_source, magics))) == len(magics)


contents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def reversed_throughout(content):
    if isinstance(content, dict):
        return {key: reversed_throughout(value) for key, value in reversed(content.items())}
    return [reversed_throughout(item) for item in content] if isinstance(content, list) else content


@settings(max_examples=100, deadline=None)
@given(contents)
def test_a_digest_is_ten_digits_and_the_same_in_any_order_of_the_keys(content):
    assert digest(content) == digest(reversed_throughout(content))
    assert len(digest(content)) == 10
    assert int(digest(content), 16) >= 0


@settings(max_examples=100, deadline=None)
@given(contents, st.lists(contents, min_size=2, max_size=3))
def test_a_digest_sees_nesting_and_the_order_of_a_list(content, items):
    assert len({digest(content), digest([content]), digest({"a": content})}) == 3
    assert (digest(items) == digest(items[::-1])) == (repr(items) == repr(items[::-1]))
