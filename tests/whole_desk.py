"""`python -m tests.whole_desk up …`: a desk as an operator starts it, from this clone.

Takes the words of `python -m engine`. The one difference: which home was started last is noted
beside that home, where a person's start notes it in the clone, which no test may write to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine import config
from engine.__main__ import main

if __name__ == "__main__":
    config.LAST_HOME = os.fspath(Path(os.environ["PITBOSS_HOME"]).absolute() / config.LAST_HOME)
    sys.exit(main(sys.argv[1:]))
