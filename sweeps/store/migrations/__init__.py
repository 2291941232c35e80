"""Alembic migrations of our tables. Optuna keeps its own version in alembic_version: ours has another name."""

VERSION_TABLE = "f3rm_alembic_version"
HEAD_REVISION = "0002"
