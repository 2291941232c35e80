"""The exception tree: everything that this package raises on purpose.

F3RMError
├── UsageError            what was asked for can't work; a change of the request mends it (exit code 2)
│   ├── InvalidParameter      a value of a parameter
│   ├── SceneError            a scene that is missing, broken, or can't give what was asked
│   ├── WeightsUnavailable    feature weights that can't be reached
│   ├── UnknownWords          query words that the text model never saw
│   └── CheckpointError       a checkpoint that does not fit the run
└── TrainingFailed        the work failed (exit code 1); `reason` is one of FAILURE_REASONS
    ├── Diverged              the loss is not finite
    └── OutOfMemory

A message is one line: what is wrong, with which value, and what to do.
"""

from __future__ import annotations

FAILURE_REASONS = ("oom", "diverged", "crashed", "lost", "timeout", "invalid")
"""Why a trial failed: out of memory, loss not finite, an exception, worker gone, over its time, refused."""


class F3RMError(Exception):
    """Base of all errors of f3rm_core."""


class UsageError(F3RMError):
    """The request can't work as it stands; the message says what to change."""


class InvalidParameter(UsageError):
    """A parameter has a value that can't work.

    Args:
        name: the documented parameter name.
        value: the value given.
        remedy: what to give instead, continuing the sentence after a colon.
    """

    def __init__(self, name: str, value: object, remedy: str) -> None:
        super().__init__(f"{name}={value!r}: {remedy}")
        self.name = name
        self.value = value
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[InvalidParameter], tuple[str, object, str]]:
        return type(self), (self.name, self.value, self.remedy)


class SceneError(UsageError):
    """A scene is missing, broken, or can't give what was asked of it."""


class WeightsUnavailable(UsageError):
    """The weights of a feature model can't be reached."""


class UnknownWords(UsageError):
    """A text query holds words that the text model never saw."""


class CheckpointError(UsageError):
    """A checkpoint is unreadable or belongs to another configuration."""


class TrainingFailed(F3RMError):
    """A training run failed; `reason` is one of FAILURE_REASONS."""

    reason = "crashed"


class Diverged(TrainingFailed):
    """The loss became NaN or infinite."""

    reason = "diverged"


class OutOfMemory(TrainingFailed):
    """The device or the machine ran out of memory."""

    reason = "oom"
