"""The error tree. Whose fault decides what happens next.

- `InputError`: theirs (a job, a rule, a goal, a configuration). Refuse it with the place and the remedy, go on with
  what is good, never crash.
- `TransientError`: a peer is away. Retry with back-off, then degrade and say so.
- `RefusedError`: a peer said no. No retry of the same request; the run fails with the reason.
- `InvariantError`: ours. Stop before more damage is done; the supervisor starts again from the last commit.

Foreign exception types never cross a port: adapters `raise ... from error`, bodies cut to 256 characters.
"""

from __future__ import annotations


class EdgeSchedError(Exception):
    """Root of all errors of this project.

    `code` is stable, dotted and printed in logs and JSON; `hint` says what to change, in one sentence without a period.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(EdgeSchedError):
    """Somebody's input is wrong.

    `line` and `column` count from 1, 0 when unknown; `path` is a field path such as `plugins[0].name`.
    """

    code = "input"

    def __init__(self, message: str, *, hint: str = "", line: int = 0, column: int = 0, path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column
        self.path = path


class RuleError(InputError):
    """A science rule or condition is wrong; `line` and `column` are those of the rule's own text."""

    code = "rule"


class RuleSyntaxError(RuleError):
    """The text is not a rule or not a condition of the language."""

    code = "rule.syntax"


class RuleTypeError(RuleError):
    """The text parses but names something that does not exist or puts a value where it cannot stand."""

    code = "rule.type"


class JobError(InputError):
    """A job file is wrong."""

    code = "job"


class GoalError(InputError):
    """A science goal from a goal source is wrong."""

    code = "goal"


class PluginError(InputError):
    """A plugin cannot be made into a pod; `path` is relative to the plugin, such as `pluginSpec.image`."""

    code = "plugin"


class ConfigError(InputError):
    """The configuration is wrong; found at start only."""

    code = "config"


class TransientError(EdgeSchedError):
    """A peer does not answer. `retry_after_s` is what the peer asked for, None when it said nothing."""

    code = "transient"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class KubeUnavailableError(TransientError):
    """The Kubernetes API cannot be reached, answers 429 or 5xx, or the answer was lost."""

    code = "kube.unavailable"


class BrokerUnavailableError(TransientError):
    """The message broker cannot be reached or did not confirm."""

    code = "broker.unavailable"


class CloudUnavailableError(TransientError):
    """The cloud scheduler cannot be reached."""

    code = "cloud.unavailable"


class RefusedError(EdgeSchedError):
    """A peer refused a request for good. `status` is its HTTP status, 0 when it has none."""

    code = "refused"

    def __init__(self, message: str, *, hint: str = "", status: int = 0, reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason


class KubeRefusedError(RefusedError):
    """The Kubernetes API answered 4xx; `reason` is the machine word of its Status object, such as `AlreadyExists`."""

    code = "kube.refused"


class InvariantError(EdgeSchedError):
    """The state contradicts itself: a defect of ours."""

    code = "invariant"


class StoreUnavailableError(TransientError):
    """The state cannot be written now: disk full, file system read-only or too slow."""

    code = "store.unavailable"


class StoreNewerError(EdgeSchedError):
    """The state was written by a newer version of the program."""

    code = "store.newer"
