"""Seeded faults on the real DAG: run again, and the tables are those of the undisturbed run, or one line says what to do.

``--faults N`` draws N of them; a few are drawn in all tests.
"""

import random
import shutil

import pytest

from conftest import Checkout, made_once
from faults import FAULTS, TRAINS
from scene import TABLE, Scene

FEW = 10
SHALLOW = 16
"""The first faults take no more away than the artifact itself, and so cost seconds."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.config.getoption("--faults") or FEW))


def draw(number: int, rng: random.Random) -> tuple[str, str]:
    """Draw a fault and a stage: all faults in turn, the first ones at stages of seconds, and of the others one in four while a model is trained."""
    light = [name for name, (_, stages) in FAULTS.items() if set(stages) - set(TRAINS)]
    name = light[number] if number < len(light) else [*FAULTS][number % len(FAULTS)]
    stages = FAULTS[name][1]
    trains = [stage for stage in stages if stage in TRAINS]
    others = [stage for stage in stages if stage not in TRAINS]
    if not others or (trains and number >= len(light) and rng.random() < 0.25):
        return name, rng.choice(trains)
    return name, rng.choice(others)


@pytest.fixture(scope="session")
def undisturbed(request, tmp_path_factory) -> Checkout:
    """A repository with one small table of one model, and all that it is made from: of the tests' own run, or of this alone."""
    origin = "fresh" if request.config.getoption("--faults") else "smoke"
    return made_once("undisturbed", request.getfixturevalue(origin), draw_one_table, tmp_path_factory)


def draw_one_table(checkout: Checkout) -> None:
    entry = f"  {TABLE}: {{experiment: gf13, notebook: interventions, caption: pass@1.}}\n"
    checkout.edit("params.yaml", "\ntables:\n", f"\ntables:\n{entry}")
    checkout.run(f"snakemake --cores all {TABLE}")
    keep_what_the_table_shows(checkout)


def keep_what_the_table_shows(checkout: Checkout) -> None:
    """Remove what other experiments left, so that copies are small."""
    results = checkout.folder / "results"
    kept = checkout.made_from(TABLE)
    for record in results.glob("*/*/provenance.json"):
        if "/".join(record.parts[-3:-1]) not in kept:
            shutil.rmtree(record.parent)


def test_after_a_fault_the_tables_are_those_of_the_undisturbed_run(undisturbed, tmp_path, number, record_property):
    rng = random.Random(number)
    name, stage = draw(number, rng)
    record_property("fault", (name, stage))
    scene = Scene(undisturbed, tmp_path, stage, rng, depth=0.0 if number < SHALLOW else 0.3)
    try:
        FAULTS[name][0](scene)
        record_property("outcome", scene.run_again())
        scene.require_same()
    finally:
        scene.leave()
