"""Pages for people: the list of jobs, and a job with its nodes, plugins, rules and runs.

Everything is rendered here and readable without a script; a short script replaces the page's middle when the job has
changed. What comes from outside is escaped, and the Content-Security-Policy allows nothing but our own two files.
"""

from edgesched.cloud.pages.handlers import Pages

__all__ = ["Pages"]
