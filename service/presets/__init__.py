"""The resource /api/v1/presets."""
