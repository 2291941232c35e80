"""Multiresolution hash grids: one contract, one parameter layout, several backends.

Start at `base.py`. `spec.py` is free of torch.
"""
