import json

from conftest import laptop_plan
from selectimprove.artifacts.keys import canonical_source, digest, imported_modules, notebook_source, source_digests


def test_comments_formatting_and_docstrings_do_not_count():
    plain = "def f(a, b):\n    return a + b\n"
    dressed = '"""Module."""\n# Remark.\ndef f(a,\n      b):\n    """Add."""\n    return (a +\n        b)  # Sum.\n'
    assert canonical_source(plain) == canonical_source(dressed)
    assert canonical_source(plain) != canonical_source(plain.replace("+", "-"))
    assert canonical_source("x = 'a'") != canonical_source("x = 'b'")


def test_imports_of_this_package_are_found_and_what_computes_nothing_is_left_out():
    source = (
        "import torch\nimport selectimprove.analysis.stats\nfrom selectimprove.analysis import style\n"
        "from selectimprove.config import params\nfrom selectimprove.stages.rl import train_grpo\n"
        "from selectimprove.artifacts.runner import run_stage\nfrom selectimprove.tasks.chains.settings import Settings\n"
    )
    assert imported_modules(source) == {"analysis.stats", "analysis.style", "stages.rl", "tasks.chains.settings"}


def test_models_do_not_depend_on_labels():
    models = {"stages.rl", "stages.evaluation", "tasks.chains.problems"}
    assert {"tasks.shared", "training.sampling", "training.trainer"} <= set(source_digests(frozenset(models)))
    assert not {"tasks.chains.labels", "stages.labels", "stages.measures"} & set(source_digests(frozenset(models)))
    labels = set(source_digests(frozenset({"stages.labels", "tasks.chains.labels"})))
    assert {"tasks.chains.labels", "tasks.field", "tasks.chains.problems"} <= labels


def test_a_stage_loads_the_aspects_of_its_task_that_it_needs():
    plan = laptop_plan()
    loaded = {
        stage: set().union(*(a.modules for a in artifacts.values()))
        for stage, artifacts in plan.artifacts.items()
        if artifacts
    }
    assert loaded["rl"] == {
        "stages.rl",
        "training.engine_transformers",
        "artifacts.arithmetic",
        "training.grpo",
        "tasks.shared",
        *(f"tasks.{task}.problems" for task in ("chains", "compositions", "path_star")),
        "tasks.rewritten_chains.rewriting",
    }
    assert not any(
        module.endswith(".labels")
        for stage in ("problems", "base", "sft", "rl", "evaluation")
        for module in loaded[stage]
    )
    assert {"tasks.chains.labels", "tasks.compositions.labels"} <= loaded["labels"]


def test_a_notebook_is_its_code(tmp_path):
    def write(outputs, prose, code, needs=None):
        cells = [
            {"cell_type": "markdown", "source": [prose]},
            {"cell_type": "code", "source": [code], "outputs": outputs, "execution_count": len(outputs)},
        ]
        path = tmp_path / "notebook.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {"selectimprove": {"needs": needs or {}}}}))
        return notebook_source(path)

    assert write([], "one", "x = 1", {"told": True}) == write([], "one", "x = 1")
    assert write([], "one", "x = 1") == write(["a picture"], "two", "x = 1") != write([], "one", "x = 2")


def test_a_digest_is_of_content_and_not_of_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_a_folder_counts_when_more_than_its_modules_is_imported_from_it():
    mixed = "from selectimprove.tasks.chains import labels, Chains\n"
    assert imported_modules(mixed) == {"tasks.chains", "tasks.chains.labels"}
    assert imported_modules("from selectimprove.tasks.chains import labels\n") == {"tasks.chains.labels"}


def test_what_folders_do_when_they_are_imported_counts():
    assert {"tasks", "tasks.chains"} <= set(source_digests(frozenset({"tasks.chains.labels"})))
    assert "analysis" in source_digests(frozenset({"analysis.estimates"}))
