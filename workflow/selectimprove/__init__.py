"""*Select and Improve: Understanding the Mechanics of Post-Training for Reasoning* (arXiv:2606.13125), reproduced."""

from selectimprove.artifacts.arithmetic import pin_arithmetic

pin_arithmetic()
