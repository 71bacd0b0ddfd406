"""`python -m tests.whole_desk up …`: a desk as an operator starts it, from this clone.

Takes the words of `python -m engine`. The one difference: which home was started last is noted
beside that home, where a person's start notes it in the clone, which no test may write to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine import config
from engine.__main__ import main, secrets_in
from engine.live.handover import start_clean

if __name__ == "__main__":
    os.umask(0o077)
    if secrets_in(os.environ):
        start_clean(sys.argv[1:], module="tests.whole_desk")
    config.LAST_HOME = os.fspath(Path(os.environ["PITBOSS_HOME"]).absolute() / config.LAST_HOME)
    sys.exit(main(sys.argv[1:]))
