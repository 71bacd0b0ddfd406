"""What the browser's watchdog says where its KILL gets no answer: commands that can be typed."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from pages.frame.kill import script, ways_without
from tests.pages.desks import REPOSITORY as ROOT


def test_the_ways_without_a_server_name_this_home() -> None:
    said = ways_without(Path("/srv/my desk"))
    assert "touch '/srv/my desk/KILL'" in said
    assert "DESK_HOME='/srv/my desk' .venv/bin/supervisorctl signal USR1 engine" in said


def test_the_command_as_typed_reaches_for_the_supervisor(tmp_path: Path) -> None:
    typed = ways_without(tmp_path).partition("folder: ")[2]
    home, program, *arguments = shlex.split(typed)
    assert program == ".venv/bin/supervisorctl"
    found = subprocess.run(
        ["supervisorctl", *arguments],
        executable=ROOT / program,
        cwd=ROOT,
        env=dict([home.split("=", 1)]),
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    # Nobody supervises here: what it misses is the socket of this home, not its own settings.
    assert "no such file" in found.stdout
    assert str(tmp_path) in found.stdout


def test_a_home_cannot_end_the_script_it_stands_in() -> None:
    made = script(Path("/srv/</script>"))
    assert made.count("</script>") == 1
    assert "WAYS_WITHOUT" not in made
