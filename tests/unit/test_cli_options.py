"""Options that several commands have are one option: the same words, the same default, the same help."""

from __future__ import annotations

import click
import pytest

from edgewright.cli.ab import ab
from edgewright.cli.bench import bench
from edgewright.cli.compare import compare
from edgewright.cli.farm_run import run as farm_run
from edgewright.cli.history import history, regressions
from edgewright.cli.options import measuring_options, threshold_option
from edgewright.cli.run import run
from edgewright.cli.site import serve, site


def told(command: click.Command) -> dict[str, dict[str, object]]:
    """What there is to say of each option of a command."""
    return {str(one.name): one.to_info_dict() for one in command.params if isinstance(one, click.Option)}


@click.command()
@measuring_options
def measuring() -> None:
    """Nothing else."""


@click.command()
@threshold_option
def holding() -> None:
    """Nothing else."""


@pytest.mark.parametrize(
    ("command", "shared"),
    [
        *((command, measuring) for command in (run, farm_run, bench)),
        *((command, holding) for command in (farm_run, history, regressions, site.commands["build"], serve)),
        *((command, holding) for command in (compare, ab)),
    ],
)
def test_a_shared_option_is_the_same_everywhere(command: click.Command, shared: click.Command) -> None:
    options, wanted = told(command), told(shared)
    assert wanted and wanted.items() <= options.items()
