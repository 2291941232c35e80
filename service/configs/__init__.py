"""The resource /api/v1/configs."""
