"""How a model is trained: the loop, its schedule, its checkpoints, its sources of chance."""
