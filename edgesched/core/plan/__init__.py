"""The decision: events in, effects out. Read `lifecycle` (the table), then `step`, then `firing`."""
