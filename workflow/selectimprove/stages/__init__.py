"""Stages, each a function from a config and input folders to one folder.

Any stage can be run by hand::

    python -m selectimprove.stages.sft --config results/sft/…/config.json --input base=results/base/… --output /tmp/FB
"""

import gc
import sys

from selectimprove.artifacts.arithmetic import clean_environment
from selectimprove.artifacts.forking import hand_over

# This is true while ``python -m`` looks for the module. Garbage collection during the imports of torch and TRL takes a
# third of a stage's start; `selectimprove.artifacts.runner` turns it on again.
if sys.argv[:1] == ["-m"]:
    clean_environment()
    hand_over()
    gc.disable()
