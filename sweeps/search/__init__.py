"""One sweep, one process: a driver that asks Optuna, launches by Ray Tune, and keeps the store's truth."""
