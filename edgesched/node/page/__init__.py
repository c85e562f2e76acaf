"""The status page: read only, whole without JavaScript, live with it."""

from .render import FILES, POLICY, Shown, file, render
from .render import main as render_main

__all__ = ["FILES", "POLICY", "Shown", "file", "render", "render_main"]
