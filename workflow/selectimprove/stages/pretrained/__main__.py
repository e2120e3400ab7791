"""Run the stage by hand; see `selectimprove.stages`."""

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import PretrainedStage
from selectimprove.stages.pretrained import fetch_model

run_stage(PretrainedStage, fetch_model)
