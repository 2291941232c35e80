"""What a sweep's results mean: the front, who wins and why, pictures, presets. No Ray; Optuna only for
importance, and only when that is asked for."""
