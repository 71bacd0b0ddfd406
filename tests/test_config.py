from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config import SHARES, Config, LogLevel, keys, load, read_env_file
from engine.errors import ConfigError
from engine.live.credentials import PASSPHRASE
from engine.venues.registry import credential_names, url_keys

REPOSITORY = Path(__file__).resolve().parents[1]


def env_file(folder: Path, text: str) -> Path:
    file = folder / ".env"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_given_means_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = load({})
    assert config.home == tmp_path / "var"
    assert config.data is None
    assert config.log_level is LogLevel.INFO
    assert config.state_path == tmp_path / "var" / "pitboss.db"


def test_everything_lies_under_the_home(tmp_path: Path) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    names = {
        config.journal_path: "journal.db",
        config.state_path: "pitboss.db",
        config.decisions_path: "decisions.db",
        config.tape_folder: "tape",
        config.ticks_folder: "ticks",
        config.recordings_folder: "recordings",
        config.run_folder: "run",
        config.kill_path: "KILL",
    }
    assert {path: tmp_path / name for path, name in names.items()} == {path: path for path in names}


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = env_file(tmp_path, "PITBOSS_LOG_LEVEL=debug\nPITBOSS_HOME=/from/file\n")
    config = load({"PITBOSS_LOG_LEVEL": "error"}, file)
    assert config.log_level is LogLevel.ERROR
    assert config.home == Path("/from/file")


def test_empty_value_counts_as_not_given(tmp_path: Path) -> None:
    file = env_file(tmp_path, "PITBOSS_LOG_LEVEL=warning\nDATABASE_URL=\n")
    config = load({"PITBOSS_LOG_LEVEL": "", "PITBOSS_DATA": ""}, file)
    assert config.log_level is LogLevel.WARNING
    assert config.data is None


def test_missing_file_is_no_error(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env") == load({})


@pytest.mark.parametrize("key", ["PITBOSS_HOMES", "PITBOSS_LOGLEVEL", "PITBOSS_"])
def test_unknown_key_in_the_environment_is_refused_by_name(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"the environment sets {key}, .* did you mean PITBOSS_"):
        load({key: "x"})


@pytest.mark.parametrize(
    "line", ["PITBOSS_HOMES=x", "PITBOS_HOME=x", "PITBOSS_HOMES=", "DATABSE_URL=x"]
)
def test_misspelt_key_in_the_file_is_refused_with_the_nearest_known_one(
    line: str, tmp_path: Path
) -> None:
    key = line.partition("=")[0]
    near = "DATABASE_URL" if key.startswith("DATA") else "PITBOSS_HOME"
    with pytest.raises(ConfigError, match=rf"\.env sets {key}, .* did you mean {near}\?"):
        load({}, env_file(tmp_path, line + "\n"))


def test_keys_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    load({"PATH": "/bin", "DATABASE_URI": "x"}, env_file(tmp_path, "STREAMLIT_SERVER_PORT=1\n"))


def test_dollar_in_the_file_is_a_dollar(tmp_path: Path) -> None:
    config = load({"HOME": "/root"}, env_file(tmp_path, "PITBOSS_HOME=/a/$HOME\n"))
    assert config.home == Path("/a/$HOME")


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PITBOSS_HOME=\xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load({}, tmp_path / ".env")


def test_level_is_named_in_any_case_but_not_invented() -> None:
    assert load({"PITBOSS_LOG_LEVEL": "DEBUG"}).log_level is LogLevel.DEBUG
    with pytest.raises(ConfigError, match=r"PITBOSS_LOG_LEVEL: .*'debug'"):
        load({"PITBOSS_LOG_LEVEL": "loud"})


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "var"
    file.touch()
    with pytest.raises(ConfigError, match=r"PITBOSS_HOME: .* is a file"):
        load({"PITBOSS_HOME": str(file)})


@pytest.mark.parametrize("home", ["/tmp/" + "x" * 300, "/tmp/" + "x/" * 3_000, "~no such user/x"])
@pytest.mark.parametrize(("key", "prefix"), [("PITBOSS_HOME", ""), ("DATABASE_URL", "sqlite:///")])
def test_a_place_that_no_file_can_have_is_refused(key: str, prefix: str, home: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: no file or folder can have this name"):
        load({key: prefix + home})


def test_other_databases_are_refused_without_repeating_the_password() -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL: only sqlite:///PATH") as refused:
        load({"DATABASE_URL": "postgresql://trader:hunter2@db/pitboss"})
    assert "hunter2" not in str(refused.value)


def test_database_url_moves_only_the_state(tmp_path: Path) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path), "DATABASE_URL": "sqlite:////srv/state.db"})
    assert config.state_path == Path("/srv/state.db")
    assert config.journal_path == tmp_path / "journal.db"


def test_config_is_frozen() -> None:
    config = load({})
    with pytest.raises(ValidationError, match="frozen"):
        config.log_level = LogLevel.DEBUG  # type: ignore[misc]


def test_config_can_be_made_by_name(tmp_path: Path) -> None:
    assert Config(home=tmp_path).home == tmp_path


def test_example_file_names_every_key_and_no_other() -> None:
    text = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?([A-Z_]+)=", text, flags=re.MULTILINE))
    assert named == {*keys(), *url_keys(), *credential_names(), PASSPHRASE}


def test_example_file_is_accepted_as_it_stands_and_filled_in(tmp_path: Path) -> None:
    text = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    load({}, env_file(tmp_path, text), venues=url_keys)
    filled = re.sub(r"^#([A-Z_]+=)", r"\1", text, flags=re.MULTILINE)
    assert load({}, env_file(tmp_path, filled), venues=url_keys).state_path.name == "pitboss.db"


def test_importing_reads_nothing(tmp_path: Path) -> None:
    """A `.env` that would be refused is no harm until `load` is asked."""
    env_file(tmp_path, "PITBOSS_NONSENSE=1\n")
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import engine.config"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10 GB", 10**10), ("500MB", 5 * 10**8), ("1.5 tb", 15 * 10**11), ("200000000", 2 * 10**8)],
)
def test_a_disk_budget_is_written_with_its_unit(text: str, size: int) -> None:
    config = load({"PITBOSS_DISK_BUDGET": text})
    assert config.disk_budget == size
    assert sum(map(config.share, SHARES)) == pytest.approx(size)


@pytest.mark.parametrize("text", ["ten", "10 GiB", "-1 GB", "99 MB"])
def test_a_disk_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="PITBOSS_DISK_BUDGET"):
        load({"PITBOSS_DISK_BUDGET": text})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PITBOSS_HOME: /data/pitboss\n", "line 1: PITBOSS_HOME is followed by a colon"),
        ("# a\n\n  PITBOSS_HOME : /data\n", "line 3: PITBOSS_HOME is followed by a colon"),
        ("PITBOSS_LOG_LEVEL=debug PITBOSS_HOME=/d\n", "line 1: PITBOSS_HOME stands in the value"),
        ('PITBOSS_HOME="/data\nPITBOSS_LOG_LEVEL=debug\n', "line 1: a quote is not closed"),
        ('A="x\nPITBOSS_HOME=/d\nB="\n', "line 1: PITBOSS_HOME stands in the value of A"),
        ("PITBOSS_HOME /data\n", "line 1: not a setting"),
        ("PITBOSS_HOME\n", "line 1: not a setting"),
        ("PITBOSS_HOME=/a\nPITBOSS_HOME=/b\n", "line 2: PITBOSS_HOME is set again"),
        ("POLYMARKET_PRIVATE_KEY: 0xsecret\n", "line 1: POLYMARKET_PRIVATE_KEY is followed by"),
        ("pitboss_home=/data\n", "did you mean PITBOSS_HOME"),
    ],
)
def test_every_line_of_the_file_is_read_or_named(tmp_path: Path, text: str, said: str) -> None:
    file = env_file(tmp_path, text)
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        load({}, file)
    assert "secret" not in str(raised.value)


def test_lines_as_dotenv_takes_them_are_read(tmp_path: Path) -> None:
    text = "\ufeffPITBOSS_HOME='/d a'\nexport A=1 # b\n\n# C: d\nE=\nF=g:h i\n"
    assert read_env_file(env_file(tmp_path, text)) == {
        "PITBOSS_HOME": "/d a", "A": "1", "E": "", "F": "g:h i"
    }  # fmt: skip


def test_a_kill_keeps_the_lines_that_can_be_read_and_names_the_others(tmp_path: Path) -> None:
    errors: list[str] = []
    text = "PITBOSS_LOG_LEVEL: debug\nPITBOSS_HOME=/data/desk\nno\n"
    assert load({}, env_file(tmp_path, text), errors).home == Path("/data/desk")
    assert [error.partition(", ")[2][:7] for error in errors] == ["line 1:", "line 3:"]
