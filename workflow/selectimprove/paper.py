"""Numbers that the paper reports (arXiv:2606.13125v1), for comparison."""

_CELLS = {
    ("B", "sft"): (24.5, 38.9, 11.9),
    ("B", "rl_2_5"): (18.4, 25.6, 10.1),
    ("B", "rl_6_9"): (50.8, 96.0, 11.6),
    ("F", "sft"): (57.0, 10.7, 97.1),
    ("F", "rl_2_5"): (48.0, 9.3, 91.7),
    ("F", "rl_6_9"): (58.3, 11.0, 99.3),
    ("FB", "sft"): (47.0, 27.1, 64.3),
    ("FB", "rl_2_5"): (60.0, 32.2, 91.5),
    ("FB", "rl_6_9"): (95.7, 94.1, 97.1),
}

TABLE_1 = {
    (sft, training, problem_type): value
    for (sft, training), values in _CELLS.items()
    for problem_type, value in zip(("all", "inversion", "evaluation"), values, strict=True)
}
"""pass@1 in percent on 6–9 steps in GF(11), by (SFT mix, training, problem type)."""
