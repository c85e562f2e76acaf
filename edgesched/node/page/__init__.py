"""The status page: read only, whole without JavaScript, live with it."""

from .render import FILES, MOST_SHOWN, POLICY, Shown, file, render

__all__ = ["FILES", "MOST_SHOWN", "POLICY", "Shown", "file", "render"]
