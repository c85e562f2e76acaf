"""edgesched: an edge scheduler for Waggle nodes."""

__version__ = "0.1.0"
