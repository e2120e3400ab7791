"""The paper's second task: problems of several parts, each a chain that is given the answer of the part before."""
