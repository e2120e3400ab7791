import json

from selectimprove.keys import canonical_source, digest, imported_modules, notebook_source, source_digests


def test_comments_formatting_and_docstrings_do_not_count():
    plain = "def f(a, b):\n    return a + b\n"
    dressed = '"""Module."""\n# Remark.\ndef f(a,\n      b):\n    """Add."""\n    return (a +\n        b)  # Sum.\n'
    assert canonical_source(plain) == canonical_source(dressed)
    assert canonical_source(plain) != canonical_source(plain.replace("+", "-"))
    assert canonical_source("x = 'a'") != canonical_source("x = 'b'")


def test_imports_of_this_package_are_found_and_the_frame_is_left_out():
    source = (
        "import torch\nimport selectimprove.stats\nfrom selectimprove import style, publish\n"
        "from selectimprove.rl import train_grpo\nfrom selectimprove.stage import run_stage\n"
    )
    assert imported_modules(source) == {"stats", "style", "rl"}


def test_models_do_not_depend_on_labels():
    assert {"reward", "sampling", "training"} <= set(source_digests(frozenset({"rl"})))
    assert not {"labeling", "label", "measure"} & set(source_digests(frozenset({"rl", "evaluate"})))
    assert {"labeling", "field", "problems"} <= set(source_digests(frozenset({"label"})))


def test_a_notebook_is_its_code(tmp_path):
    def write(outputs, prose, code):
        cells = [
            {"cell_type": "markdown", "source": [prose]},
            {"cell_type": "code", "source": [code], "outputs": outputs, "execution_count": len(outputs)},
        ]
        path = tmp_path / "notebook.ipynb"
        path.write_text(json.dumps({"cells": cells}))
        return notebook_source(path)

    assert write([], "one", "x = 1") == write(["a picture"], "two", "x = 1") != write([], "one", "x = 2")


def test_a_digest_is_of_content_and_not_of_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
