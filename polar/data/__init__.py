"""The datasets: where their files are, and how they become images."""
