"""Run the stage by hand; see `selectimprove.stages`."""

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import RftStage
from selectimprove.stages.rft import train_rft

run_stage(RftStage, train_rft)
