"""The paper's main task: chains of additions and multiplications in a finite field, of which one end is asked for."""
