"""The files under deploy/: they can be read, and the commands in them exist."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.devices import require_command

from edgewright.cli.main import cli
from edgewright.nightly.cluster.dask import Tls, check_address
from edgewright.store.location import database_url

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: Any = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PROGRAM = "/srv/bench/.venv/bin/edgewright"
TLS = Tls(Path("ca"), Path("cert"), Path("key"))


def check_command(words: list[str]) -> None:
    """Every command and option of it is one of ours, and addresses are such."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    for word in words:
        if "://" in word:
            assert check_address(word, TLS) == word


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_good(path: Path, tmp_path: Path) -> None:
    require_command("systemd-analyze")
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
    program, *words = shlex.split(line.partition("=")[2])
    assert program == PROGRAM
    check_command(words)
    for unit in (path, *path.parent.glob(f"{path.stem}.timer")):
        text = unit.read_text().replace(PROGRAM, sys.executable).replace("=/srv/bench", "=/")
        (tmp_path / unit.name).write_text(text)
    words = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_timer_s_moment_is_one() -> None:
    require_command("systemd-analyze")
    text = (DEPLOY / "systemd/edgewright-night.timer").read_text()
    (moment,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith("OnCalendar=")]
    done = subprocess.run(
        ["systemd-analyze", "calendar", moment], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_line_for_cron_is_good() -> None:
    (line,) = [line for line in (DEPLOY / "cron").read_text().splitlines() if not line.startswith("#")]
    assert line.split()[:6] == ["15", "1", "*", "*", "*", "bench"]
    check_command(shlex.split(line.partition(".venv/bin/edgewright ")[2]))


def test_the_environment_names_a_store_and_no_password() -> None:
    lines = (DEPLOY / "systemd/edgewright.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    url = database_url(values["EDGEWRIGHT_STORE"])
    assert url.password is None and url.query == {"passfile": "/etc/edgewright/pgpass"}
    known = {option.envvar for option in farm_options()}
    assert set(values) - {"EDGEWRIGHT_STORE"} <= known


def farm_options() -> list[click.Option]:
    farm = cli.get_command(click.Context(cli), "farm")
    assert isinstance(farm, click.Group)
    return [p for one in farm.commands.values() for p in one.params if isinstance(p, click.Option)]


def test_the_compose_file_is_good() -> None:
    services, known = COMPOSE["services"], {*COMPOSE["secrets"]}
    assert set(services) == {"postgres", "scheduler", "worker", "night"}
    for name, service in services.items():
        assert set(service["secrets"]) <= known
        assert set(service.get("depends_on", ())) <= set(services)
        if name != "postgres":
            check_command(list(service["command"]))
    told = services["night"]["environment"]
    assert set(told) == {*services["worker"]["environment"], "EDGEWRIGHT_STORE"}
    url = database_url(told["EDGEWRIGHT_STORE"])
    assert (url.host, url.database) == ("postgres", services["postgres"]["environment"]["POSTGRES_DB"])
    assert url.password is None and services["night"]["hostname"]
    assert (DEPLOY.parent / COMPOSE["x-edgewright"]["build"]["dockerfile"]).is_file()
