"""The labels of plugin pods. WES, the portal and the reference read the first nine; the last two are ours."""

from __future__ import annotations

from typing import Final

APP: Final = "app"
APP_NAME: Final = "app.kubernetes.io/name"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CREATED_BY: Final = "app.kubernetes.io/created-by"
JOB: Final = "sagecontinuum.org/plugin-job"
TASK: Final = "sagecontinuum.org/plugin-task"
GOAL_ID: Final = "sagecontinuum.org/plugin-goal-id"
JOB_ID: Final = "sagecontinuum.org/plugin-job-id"
INSTANCE: Final = "sagecontinuum.org/plugin-instance"
# the network policies of the edge stack select these two
ROLE: Final = "role"
LEGACY_ROLE: Final = "sagecontinuum.org/role"

AGENT: Final = "edgesched.io/agent"
RUN: Final = "edgesched.io/run"
