"""A job on recorded history: the node's planner under a virtual clock, with pods that live by it.

Read `driver` first, then `story` (what is kept of a replay), `report` and `plot` (how it is shown).
"""
