"""The search that models configuration and fidelity: Gaussian processes over rungs, hypervolume per cost.

encoding            values of a mixed and conditional space <-> points in the unit cube, and what a kernel sees
gaussian_process    one Gaussian process, numpy only
fidelity            one objective at every rung: a chain of Gaussian processes
improvement         hypervolume improvement that a normal outcome is expected to bring
observations        what the trials measured, as arrays, and the bound on how much of it is used
value               what an option is worth for its cost, if it may be given up at the next rung
strategy            what a free worker does next
"""
