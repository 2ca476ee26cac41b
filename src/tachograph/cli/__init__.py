"""The command line: one file per command."""

from __future__ import annotations

import click

from tachograph.cli.doctor import doctor
from tachograph.cli.run import run
from tachograph.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="tachograph")
def main() -> None:
    """Record what AI agents do."""


main.add_command(run)
main.add_command(doctor)
