"""What to do about a refusal, by a sign in the API server's own words."""

from __future__ import annotations

from typing import Final

REMEDIES: Final = (
    ("no PriorityClass", "make the priority class or change pods.priority_class"),
    ("service account", "make the service account or change pods.service_account"),
    ("cannot ", "give the agent its roles: kubectl apply -k deploy/kubernetes/rbac"),
    ('namespaces "', "make the namespace: kubectl apply -k deploy/kubernetes/rbac"),
)


def remedy_of(message: str) -> str:
    """Return the remedy for a refusal, empty when none is known."""
    return next((remedy for sign, remedy in REMEDIES if sign in message), "")
