"""The tables, as SQLAlchemy models. Prefixed f3rm_: Optuna's tables live in the same database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always with time zone UTC; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: UTC; SQLite stores text, so all rows must be in one zone to compare."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: aware, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


LARGEST_INTEGER = 2**31 - 1
"""The most that a column of type Integer holds in PostgreSQL."""


class Base(DeclarativeBase):
    """Base of the models."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, dict[str, Any]: JSON}


class SweepRow(Base):
    """A sweep: what was asked for and how it stands."""

    __tablename__ = "f3rm_sweeps"
    __table_args__ = (Index("f3rm_sweeps_newest", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    spec: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), index=True)
    trials_planned: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    driver_seconds: Mapped[float] = mapped_column(Float, default=0.0)  # time that drivers held it, for budget.hours
    stop_reason: Mapped[str | None] = mapped_column(Text)  # which rule ended it
    error: Mapped[str | None] = mapped_column(Text)  # why it failed, one line
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    body_hash: Mapped[str] = mapped_column(String(64))


class TrialRow(Base):
    """A trial: one number, one configuration, one result."""

    __tablename__ = "f3rm_trials"
    __table_args__ = (Index("f3rm_trials_state", "sweep_id", "state"),)

    sweep_id: Mapped[str] = mapped_column(ForeignKey("f3rm_sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    parameters: Mapped[dict[str, Any]]  # what the sampler chose
    configuration: Mapped[dict[str, Any]]  # every parameter, seed included
    seed: Mapped[int] = mapped_column(BigInteger)
    optuna_trial: Mapped[int | None] = mapped_column(Integer)  # number of the row in Optuna's study
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    step: Mapped[int] = mapped_column(Integer, default=0)
    total_steps: Mapped[int] = mapped_column(Integer, default=0)
    target_step: Mapped[int] = mapped_column(Integer, default=0)  # the rung it trains to, or waits at
    loss: Mapped[float | None] = mapped_column(Float)
    reported_at: Mapped[datetime | None]
    metrics: Mapped[dict[str, Any]]
    pictures: Mapped[dict[str, Any]]  # name -> path relative to the sweep's folder
    checkpoint: Mapped[str | None] = mapped_column(Text)  # path relative to the sweep's folder
    backend: Mapped[str | None] = mapped_column(String(32))
    device: Mapped[str | None] = mapped_column(String(128))
    threads: Mapped[int | None] = mapped_column(Integer)
    seconds: Mapped[float | None] = mapped_column(Float)
    failure_reason: Mapped[str | None] = mapped_column(String(16))
    failure_message: Mapped[str | None] = mapped_column(Text)  # one line
    failure_detail: Mapped[str | None] = mapped_column(Text)  # a traceback


class AttemptRow(Base):
    """One try at a trial. Its token must come with every report; a closed attempt's report is refused."""

    __tablename__ = "f3rm_attempts"
    __table_args__ = (
        ForeignKeyConstraint(["sweep_id", "trial"], ["f3rm_trials.sweep_id", "f3rm_trials.number"], ondelete="CASCADE"),
        UniqueConstraint("sweep_id", "trial", "number", name="f3rm_attempts_number"),
    )

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    sweep_id: Mapped[str] = mapped_column(String(16))
    trial: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)  # 1 is the first
    driver: Mapped[str] = mapped_column(String(64))  # the lease's holder
    outcome: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime]  # when its worker began; until that is known, when it was handed out
    ended_at: Mapped[datetime | None]
    machine: Mapped[str | None] = mapped_column(String(255))
    pid: Mapped[int | None] = mapped_column(Integer)
    process_started: Mapped[float | None] = mapped_column(Float)  # tells a process from a later one with its pid
    resumed_from_step: Mapped[int] = mapped_column(Integer, default=0)
    environment: Mapped[dict[str, Any]]  # versions, device, threads: what fixes the bits
    message: Mapped[str | None] = mapped_column(Text)


class ReportRow(Base):
    """What a trial reported at a step: metrics at rungs, and about a hundred losses on the way."""

    __tablename__ = "f3rm_reports"
    __table_args__ = (
        ForeignKeyConstraint(["sweep_id", "trial"], ["f3rm_trials.sweep_id", "f3rm_trials.number"], ondelete="CASCADE"),
        Index("f3rm_reports_trial", "sweep_id", "trial", "id"),
    )

    # SQLite numbers rows by itself only where the type is INTEGER.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    sweep_id: Mapped[str] = mapped_column(String(16))
    trial: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)
    loss: Mapped[float | None] = mapped_column(Float)
    metrics: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class RungRow(Base):
    """What a trial measured at a rung, once, and what was decided there."""

    __tablename__ = "f3rm_rungs"
    __table_args__ = (
        ForeignKeyConstraint(["sweep_id", "trial"], ["f3rm_trials.sweep_id", "f3rm_trials.number"], ondelete="CASCADE"),
    )

    sweep_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    trial: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(Integer)
    metrics: Mapped[dict[str, Any]]
    seconds: Mapped[float] = mapped_column(Float)  # training time since the trial's first step
    at: Mapped[datetime]
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)  # one line: "rank 7 of 9 at step 3000"
    decided_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Which driver holds a sweep, and until when."""

    __tablename__ = "f3rm_leases"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("f3rm_sweeps.id", ondelete="CASCADE"), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    machine: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    process_started: Mapped[float] = mapped_column(Float)
    acquired_at: Mapped[datetime]
    renewed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
