"""Pictures of a run, drawn from its tidy table."""
