"""Run the stage by hand; see `selectimprove.stages`."""

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import MeasuresStage
from selectimprove.stages.measures import measure_experiment

run_stage(MeasuresStage, measure_experiment)
