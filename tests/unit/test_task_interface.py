"""What a task consists of, and what of it counts in which key."""

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from conftest import ROOT
from selectimprove.artifacts.keys import imported_modules, module_path, module_source
from selectimprove.config.loading import load_params
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.tasks import interface
from selectimprove.tasks.interface import ASPECTS, MEMBERS, aspect_modules, load_task, task_names

COMPUTE = """
import json
from selectimprove.artifacts.keys import artifact_digest
from selectimprove.tasks.interface import ASPECTS, aspect_modules, task_names
keys = {(t, a): artifact_digest({}, aspect_modules(t, a), {}) for t in task_names() for a in ASPECTS if a != "settings"}
print(json.dumps([[*pair, key] for pair, key in keys.items()]))
"""
ALL = {"problems", "demonstrations", "documents", "labels"}

SINGLE = '''
from selectimprove.tasks.chains import Chains

class Loud(Chains):
    """A task of one module that defines something of every aspect."""
    openings = {}
    def demonstrate(self, settings, demonstrations, problems, seed): return []
    def vocabulary(self, settings): return []
    def label(self, settings, problem, completion): return {}
'''


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package."""
    ours = ROOT / "workflow/selectimprove"
    return Path(shutil.copytree(ours, tmp_path / "selectimprove", ignore=shutil.ignore_patterns("__pycache__")))


def keys_of(package: Path) -> dict[tuple[str, str], str]:
    """Return the key of each aspect of each task."""
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", COMPUTE], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return {(task, aspect): key for task, aspect, key in json.loads(done.stdout)}


def changed_by(package: Path, module: str, old: str, new: str) -> set[tuple[str, str]]:
    """Edit a module and return the aspects whose keys change."""
    before, path = keys_of(package), package / "tasks" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return {pair for pair, key in keys_of(package).items() if before[pair] != key}


def test_an_edit_of_problems_changes_what_draws_or_reads_them_and_no_labels(package):
    # Rewritten chains inherit their labels from chains. Their demonstrations and documents lie in their problems' module.
    changed = changed_by(package, "rewritten_chains/rewriting.py", "question=settings.question", 'question="last"')
    assert changed == {("rewritten_chains", aspect) for aspect in ALL - {"labels"}}


def test_a_new_method_of_labels_changes_the_keys_of_labels_alone_and_of_the_task_that_inherits_them(package):
    new = "class ChainLabels(LabelsAspect):\n    def more(self):\n        return 1\n\n"
    changed = changed_by(package, "chains/labels.py", "class ChainLabels(LabelsAspect):\n", new)
    assert changed == {("chains", "labels"), ("rewritten_chains", "labels")}


def test_what_a_tasks_folder_does_itself_counts_for_all_its_aspects(package):
    changed = changed_by(package, "path_star/__init__.py", "class PathStar(", "print()\n\n\nclass PathStar(")
    assert changed == {("path_star", aspect) for aspect in ALL}


def test_a_single_module_counts_whole(package):
    (package / "tasks/loud.py").write_text(SINGLE)
    changed = changed_by(package, "loud.py", "return {}", 'return {"strategy": "none"}')
    assert changed == {("loud", aspect) for aspect in ALL}


def test_the_modules_of_an_aspect_are_those_of_the_classes_that_define_it():
    assert aspect_modules("chains", "labels") == {"tasks.chains.labels"}
    assert aspect_modules("rewritten_chains", "labels") == {"tasks.chains.labels"}
    assert aspect_modules("rewritten_chains", "demonstrations") == {
        "tasks.rewritten_chains.rewriting",
        "tasks.chains.demonstrations",
    }


def test_a_class_that_only_joins_aspects_is_in_none_but_counts_where_it_defines_a_member():
    class Relabeled(type(load_task("chains"))):
        def label(self, settings, problem, completion):
            return {}

    Relabeled.__module__ = "selectimprove.tasks.relabeled"
    assert interface._modules_of(Relabeled, "labels") == {"tasks.relabeled", "tasks.chains.labels"}
    assert interface._modules_of(Relabeled, "documents") == {"tasks.chains.documents"}
    Relabeled.helper = lambda self: 1
    assert interface._counts(Relabeled, "documents")


@pytest.mark.parametrize("task", task_names())
def test_a_task_takes_what_the_interface_says(task):
    for protocol in ASPECTS.values():
        for name, method in vars(protocol).items():
            if isinstance(method, FunctionType) and name in set().union(*MEMBERS.values()):
                given = inspect.signature(getattr(load_task(task), name)).parameters
                assert len(given) == len(inspect.signature(method).parameters) - 1, name


def test_attributes_of_tasks_agree_with_each_other():
    for name, task in ((name, load_task(name)) for name in task_names()):
        assert set(task.suited) == set(task.Settings.problem_types), name
        assert set(task.suited.values()) <= set(task.strategies) <= set(task.label_strategies), name
        assert set(task.openings) <= set(task.strategies), name
        assert "none" in task.first_errors, name


def module_with(*kinds: type) -> ModuleType:
    module = ModuleType("selectimprove.tasks.made")
    module.__file__ = "tasks/made.py"
    for kind in kinds:
        kind.__module__ = module.__name__
        setattr(module, kind.__name__, kind)
    return module


def test_a_class_that_lacks_members_is_refused_with_their_names():
    with pytest.raises(TypeError, match=r"tasks/made\.py: Half lacks .*, label, .*suited, .*; see tasks/interface\.py"):
        interface._task_in(module_with(type("Half", (interface.Task,), {"openings": {}})))


def test_two_tasks_in_a_module_are_refused():
    chains = type(load_task("chains"))
    with pytest.raises(TypeError, match="has the tasks One and Two; leave only one"):
        interface._task_in(module_with(type("One", (chains,), {}), type("Two", (chains,), {})))


def test_modules_that_define_no_task_are_none():
    assert set(task_names()) == {"chains", "compositions", "path_star", "rewritten_chains"}
    with pytest.raises(ValueError, match=r"selectimprove\.tasks\.field has no class that inherits from Task"):
        load_task("field")


def closure(module: str) -> set[str]:
    """Name a module and what it imports of this package, tasks left out."""
    found, waiting = set(), {module}
    while waiting:
        found.add(name := waiting.pop())
        waiting |= {m for m in imported_modules(module_source(name)) if not m.startswith("tasks")} - found
    return found


@pytest.mark.parametrize(
    "stage", [stage for stage in STAGES.values() if hasattr(stage.config, "aspects")], ids=lambda s: s.name
)
def test_a_stage_uses_only_the_aspects_in_its_key(stage):
    names = {
        node.attr
        for module in closure(stage.module)
        for node in ast.walk(ast.parse(module_path(module).read_text()))
        if isinstance(node, ast.Attribute)
    }
    used = {aspect for aspect in ALL if names & MEMBERS[aspect]}
    assert used <= set(stage.config.aspects)


def test_a_task_that_was_edited_after_its_import_is_read_anew(package):
    code = """
        from selectimprove.artifacts.forking import forget
        from selectimprove.tasks import chains
        with open(chains.__file__, "a") as file:
            file.write("\\nChains.edited = True\\n")
        forget()
        from selectimprove.tasks.interface import load_task
        print(load_task("chains").edited, hasattr(chains.Chains, "edited"))
    """
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-c", inspect.cleandoc(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize(
    ("member", "wrong", "says"),
    [
        ("openings", {"forward": ["forward"]}, "openings['forward']: input should be a valid string, not ['forward']"),
        ("first_errors", ["none"], "first_errors: input should be a valid tuple, not ['none']"),
        ("draw_problems", lambda *_: ["a chain"], "draw_problems[0]: input should be an instance of Problem"),
        ("to_row", lambda *_: {"prompt": "e1"}, "to_row['answer']: KeyError: 'answer'"),
        ("reward", lambda *_: "1", "reward: input should be a valid number, not '1'"),
        ("demonstrate", lambda *_: [["forward", "e1"]], "demonstrate[0]: input should be a valid tuple"),
        ("label", lambda *_: {"strategy": "forward"}, "label['first_error']: KeyError: 'first_error'"),
        (
            "mark_steps",
            lambda *_: (0, [(3, "good")]),
            "mark_steps[1][0][1]: input should be 'right', 'wrong result' or",
        ),
        ("longest_response", lambda *_: 1 / 0, "longest_response: ZeroDivisionError: division by zero"),
    ],
)
def test_a_member_of_another_type_is_refused_when_a_run_is_planned(monkeypatch, member, wrong, says):
    monkeypatch.setattr(type(load_task("path_star")), member, wrong)
    with pytest.raises(ParamsError) as found:
        load_params(ROOT / "params.yaml")
    assert f"tasks.path_star (selectimprove.tasks.path_star): {says}" in str(found.value)
