import sys
from pathlib import Path

# `benchmarks` is not installed; at the end of the path, the folder hides no installed package.
sys.path.append(str(Path(__file__).parents[2]))
