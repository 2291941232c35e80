"""What a sweep's results mean: the front, who wins and why, pictures, presets. No Ray, no Optuna."""
