"""`python -m engine down`: stop the whole desk, the engine first, and print its proof."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress

from engine.cli.arguments import say
from engine.clock import WallClock
from engine.config import Config
from engine.errors import BadRequest, StorageError
from storage.supervisor import FAILURES, SupervisorFault, call, socket_in
from storage.switch import STOPS_ALREADY, EngineSwitch, StopResult

HELP = "stop the whole desk, the engine first; its proof is printed"

END_S = 60.0
LOOK_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take nothing more."""
    del parser


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. 0 = the stop is PROVEN, or no engine ran; 1 = it is not proven. Raises NoEngine."""
    path = socket_in(config.run_folder)
    switch = EngineSwitch(
        run_folder=config.run_folder,
        state_path=config.state_path,
        start_paused_path=config.start_paused_path,
    )
    stopped = _stop(switch)
    text = stopped.sentence()
    with suppress(*FAILURES):
        call(path, "shutdown")
    for _ in range(round(END_S / LOOK_S)):
        time.sleep(LOOK_S)
        try:
            call(path, "getState")
        except SupervisorFault:
            continue  # it answers nothing else while it stops the programs
        except FAILURES:
            break
    else:
        raise StorageError(f"{text}; the other programs have not ended after {END_S:g} s")
    say(args, {"ran": stopped.ran, "proven": stopped.proven, "text": text}, text)
    return int(stopped.ran and not stopped.proven)


def _stop(switch: EngineSwitch) -> StopResult:
    """Stop the engine, or wait for the stop that has begun by Ctrl-C. Raises NoEngine."""
    clock = WallClock()
    try:
        return switch.stop(clock.now_ns)
    except BadRequest as refused:
        if refused.reason != STOPS_ALREADY:
            raise
    return switch.wait_for_end(clock.now_ns)
