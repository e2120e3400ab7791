"""Run the stage by hand; see `selectimprove.stages`."""

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import VerdictsStage
from selectimprove.stages.verdicts import audit_claims

run_stage(VerdictsStage, audit_claims)
