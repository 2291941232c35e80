"""What a user writes: sweeps and presets, read and checked. No torch, no Ray, no Optuna."""
