"""The RO-Crate: valid by its profile, and enough to walk from a figure to the problems, the code and the commit."""

from importlib.resources import files

import pytest
import requests
from rocrate.rocrate import ROCrate
from rocrate_validator import services
from rocrate_validator.models import Severity
from rocrate_validator.utils.http import HttpRequester

PROFILE = "provenance-run-crate-0.5"


@pytest.fixture(scope="module")
def crate(audited, tmp_path_factory):
    """The folder of an exported crate."""
    checkout = audited.copy(tmp_path_factory.mktemp("crate") / "repository")
    checkout.run("snakemake --cores all export_crate")
    return checkout.folder / "results/crate"


def test_the_crate_is_valid(crate, monkeypatch):
    # Tests have no network: whatever context is asked for is answered with the one that rocrate carries.
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Type"] = "application/ld+json"
    answer._content = (files("rocrate") / "data" / "ro-crate.jsonld").read_bytes()
    monkeypatch.setattr(HttpRequester, "get", lambda *_, **__: answer, raising=False)
    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier=PROFILE,
        requirement_severity=Severity.REQUIRED,
        skip_availability_check=True,
    )
    result = services.validate(settings)
    assert [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()] == []
    assert result.passed()


def test_a_figure_leads_back_to_problems_code_and_commit(crate, audited):
    entities = ROCrate(crate)
    actions = [e for e in entities.get_entities() if e.type == "CreateAction" and e.id.startswith("#make-")]
    made_by = {result.id: action for action in actions for result in action["result"]}
    holds = {part.id: e for e in entities.get_entities() for part in e.get("hasPart", []) if e.id in made_by}
    figure = entities.get("smoke/figures/seeds.png")
    waiting, seen, tools = [holds[figure.id]], set(), set()
    while waiting:
        dataset = waiting.pop()
        if dataset.id in seen:
            continue
        seen.add(dataset.id)
        action = made_by[dataset.id]
        assert (crate / action["instrument"].id).is_file()
        tools.add(action["instrument"].id)
        assert any(e.id.startswith("#commit-") for e in action["object"])
        assert action["startTime"] <= action["endTime"]
        assert {e["name"] for e in action["softwareRequirements"]} >= {"python", "pandas"}
        waiting += [source for source in action["object"] if source.id in made_by]
    stages = {identifier.split("/")[1] for identifier in seen}
    assert stages == {"exhibits", "measures", "labels", "evaluation", "rl", "sft", "base", "demonstrations", "problems"}
    assert "workflow/selectimprove/stages/rl.py" in tools
    exhibit = next(name for name in audited.made_from() if name.startswith("exhibits/seeds-"))
    assert f"artifacts/{exhibit}/" in seen
