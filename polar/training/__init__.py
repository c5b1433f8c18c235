"""How a model is trained: the loop, its schedule, its checkpoints and its random generators."""
