"""The resource /api/v1/parameters."""
