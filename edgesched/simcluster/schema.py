"""Shapes of objects: what the real server drops (unknown fields) and what it refuses to decode (wrong types)."""

from __future__ import annotations

from edgesched.simcluster.resources import Resource
from edgesched.simcluster.status import Object


def shaped(resource: Resource, obj: Object) -> Object:  # noqa: ARG001 - to come
    """A copy without unknown fields. Raises ApiError 400."""
    return dict(obj)
