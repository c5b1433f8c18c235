"""`python -m workers` with another child: the command in `CHILD`, a JSON list.

It watches its children every `SAMPLE_S` seconds, if that is set.
"""

import json
import os
import sys

from workers.__main__ import main
from workers.training import system_metrics

if "SAMPLE_S" in os.environ:
    system_metrics.SAMPLE_S = json.loads(os.environ["SAMPLE_S"])

sys.exit(main(command=json.loads(os.environ["CHILD"])))
