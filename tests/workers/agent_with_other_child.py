"""`python -m workers` with another child: the command in `CHILD`, a JSON list."""

import json
import os
import sys

from workers.__main__ import main

sys.exit(main(command=json.loads(os.environ["CHILD"])))
