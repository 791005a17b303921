"""``edgewright device authorize``: whose models a device runs."""

from __future__ import annotations

from pathlib import Path

import click

from edgewright.untrusted import one_line

from .options import farm_option


@click.command("authorize")
@click.argument("name")
@click.argument("key_files", nargs=-1, metavar="[KEY.pub]...", type=click.Path(path_type=Path))
@click.option(
    "--revoke", is_flag=True, help="Take the keys away instead; without any key named, all of them."
)
@farm_option
def authorize(name: str, key_files: tuple[Path, ...], revoke: bool, farm: Path | None) -> None:
    """Let the device NAME run what is signed with these keys, and nothing that is not signed.

    Without a key, show those that it trusts. Once the last one is revoked, it runs whatever it is given.
    """
    from edgewright.device import Device
    from edgewright.errors import ConfigError
    from edgewright.farm.inventory import load_inventory
    from edgewright.signing import load_public_key

    target = load_inventory(farm).get(name)
    given = {key.raw: key for key in map(load_public_key, key_files)}
    with Device.open(target) as device:
        if revoke and not given:
            told = device.authorized(())  # also where the device cannot believe its own list any more
        elif revoke:
            known = {key.raw: key for key in device.authorized()}
            for raw, key in given.items():
                if known.pop(raw, None) is None:
                    raise ConfigError(f"{name} does not trust {key.fingerprint}")
            told = device.authorized(tuple(known.values()))
        elif given:
            told = device.authorized(tuple(({key.raw: key for key in device.authorized()} | given).values()))
        else:
            told = device.authorized()
    for key in told:
        click.echo(f"{key.fingerprint}  {one_line(key.comment)}".rstrip())
    if told:
        click.echo(
            f"{name} runs only what is signed with {'this key' if len(told) == 1 else 'one of these keys'}"
        )
    else:
        click.echo(f"{name} trusts no key, and runs whatever it is given")
