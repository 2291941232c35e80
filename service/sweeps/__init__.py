"""The resource /api/v1/sweeps."""
