"""Stages, each a function from a config and input folders to one folder.

All run alike::

    python -m selectimprove.stages.sft --config results/sft/FB-…/config.json --input base=results/base/… --output /tmp/FB
"""

import gc
import sys

from selectimprove.artifacts.forking import hand_over

# Set while ``python -m`` looks for the module. What the imports of torch and TRL make stays until the end: searching it for garbage takes a third
# of a stage's start. `selectimprove.artifacts.runner` turns the collector on again.
if sys.argv[:1] == ["-m"]:
    hand_over()
    gc.disable()
