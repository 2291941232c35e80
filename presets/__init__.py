"""Presets, data only: one YAML file each. Load them with sweeps.spec.presets.load_preset."""
