"""Analysis: statistics, the two mechanisms, the claims of the paper, and the look of figures."""
