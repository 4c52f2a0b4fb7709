"""Many clients and many faults at once on the whole stack, and a checker of what came of it."""
