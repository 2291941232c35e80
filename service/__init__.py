"""HTTP for sweeps: /api/v1, and the Optuna dashboard, read-only, at `/`. Run it by `f3rm-sweeps serve`."""
