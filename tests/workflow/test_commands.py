"""The command line: a bare call, a call without an activated environment, and options that mean what Snakemake's manual says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import yte

from conftest import ENVIRONMENT, ROOT
from measure import DRY_RUN


def jobs(text: str) -> list[str]:
    """Return the table of jobs that a dry run prints."""
    lines = text.splitlines()
    start = lines.index("Job stats:")
    return lines[start : lines.index("", start + 3)]


def test_a_bare_call_asks_for_the_figures_as_make_does(fresh):
    bare, asked = fresh.run("snakemake --dry-run"), fresh.run("snakemake --cores all figures --dry-run")
    assert jobs(bare.stdout) == jobs(asked.stdout)
    assert "profiles/default" in bare.stderr


def test_the_dry_run_of_the_benchmarks_is_one_of_the_figures(fresh):
    # What fails would raise.
    fresh.run(shlex.join(DRY_RUN))


def test_jobs_run_without_an_activated_environment(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    name = next(
        word
        for word in checkout.run("snakemake --dry-run").stdout.split()
        if word.startswith("results/problems/test-gf11-2to5")
    )
    command = [Path(sys.executable).with_name("snakemake"), "--cores", "1", name]
    environment = ENVIRONMENT | {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=checkout.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (checkout.folder / name).is_file()


def test_jobs_are_promised_no_more_memory_than_there_is():
    with (ROOT / "profiles/default/config.yaml").open() as file:
        bound = yte.process_yaml(file, require_use_yte=True)["resources"]["mem_mb"]
    assert 0 < bound <= psutil.virtual_memory().total / 2**20


def test_memory_here_does_not_bound_the_jobs_of_a_cluster(fresh):
    more = "--config 'resources={train: {memory_gib: 100000}}'"
    elsewhere = "--executor cluster-generic --cluster-generic-submit-cmd false --jobs 1"
    done = fresh.run(f"snakemake table1 {elsewhere} {more}", check=False)
    assert "profiles/default is for jobs on this machine" in done.stderr
    assert not (fresh.folder / "results/problems").exists()


def test_snakemake_looks_for_jobs_when_one_ends_and_not_besides(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    said = checkout.run("snakemake --dry-run figures").stdout
    problems = re.findall(r"results/problems/\S+/provenance\.json", said)[:8]
    base = re.search(r"results/base/gf11-\S+/provenance\.json", said)[0]
    log = checkout.run(f"snakemake --cores 2 --verbose {' '.join([*problems, base])}").stderr
    assert (checkout.folder / base).exists()
    # When the run begins, and when each job ends.
    assert log.count("Ready jobs: ") <= 1 + len({*problems, base})


def test_rerun_triggers_of_the_command_line_go_first(changed):
    changed.edit("workflow/rules/stages.smk", "{params.command} > {log} 2>&1", "{params.command} &> {log}")
    assert changed.planned() == {}
    # Of these alone: what follows them has inputs that are `ancient`.
    assert set(changed.planned("--rerun-triggers code mtime")) == {"generate_problems", "pretrain_base"}
    assert changed.planned("--rerun-triggers mtime") == {}


def test_a_folder_that_is_not_planned_is_named(fresh):
    done = fresh.run("snakemake --cores 1 results/problems/none-0123456789/provenance.json", check=False)
    assert done.returncode != 0
    assert "not in the current plan; `snakemake --dry-run figures` lists what is" in done.stdout + done.stderr


def test_what_is_not_drawn_by_default_is_checked_when_it_is_asked_for(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    checkout.edit("workflow/scales/smoke.yaml", "phase_diagram: {draw: true}", "phase_diagram: {draw: false}")
    checkout.edit("workflow/scales/smoke.yaml", "[B, FB], rl_problems: [rl_2_5, rl_6_9]}", "[B, FB], rl_problems: []}")
    assert "publish_phase_diagram" not in checkout.planned()
    said = "params.yaml: figures.phase_diagram (workflow/notebooks/phase_diagram.ipynb): needs RL, but experiments."
    for command in ("snakemake --dry-run phase_diagram", "selectimprove plan phase_diagram"):
        refused = checkout.run(command, check=False)
        assert refused.returncode
        assert said in refused.stdout + refused.stderr


def test_a_plan_of_the_audit_has_its_verdicts_and_its_page_all_figures(fresh):
    said = fresh.run("selectimprove plan audit").stdout
    assert re.search(r"^verdicts: (\d+) of \1 to make$", said, re.M)
    assert "table1" in said.split("figures and tables to draw: ")[1]


def test_a_value_on_the_command_line_of_plan_is_refused_in_one_line(fresh):
    for given, said in (("rl", "--config: Invalid config definition"), ("'rl={bta: 1}'", "did you mean 'beta'?")):
        done = fresh.run(f"selectimprove plan --config {given}", check=False)
        assert done.returncode
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_make_alone_says_what_there_is(fresh):
    lines = fresh.run("make").stdout.splitlines()
    assert lines[0].startswith("make figures — ")
    assert 5 <= len(lines) <= 15
