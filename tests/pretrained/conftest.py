"""Kernels that are the same on every machine take twice as long, and no threshold here depends on the last digits."""

import os

os.environ["MKL_CBWR"] = "AUTO"
