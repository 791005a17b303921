"""``edgewright device``: which devices there are, what they are, and whether they are trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.errors import ConfigError, MissingRuntime, UntrustedHost
from edgewright.farm.inventory import SshAddress, Target, load_inventory
from edgewright.farm.meter_config import described
from edgewright.untrusted import one_line

from .device_doctor import doctor
from .device_jobs import attach
from .device_keys import authorize
from .device_provision import provision

if TYPE_CHECKING:
    from edgewright.farm.metered import FoundMeter
    from edgewright.transport.ssh_link import Offer
    from edgewright_agent.protocol import Device as Facts

#: CPU features that make 8-bit arithmetic fast, as Linux names them, with what they are.
INT8_FEATURES: dict[str, tuple[tuple[str, str], ...]] = {
    "x86": (
        ("avx2", "AVX2"),
        ("avx_vnni", "AVX-VNNI"),
        ("avx512_vnni", "AVX-512 VNNI"),
        ("amx_int8", "AMX"),
    ),
    "arm": (
        ("asimd", "Neon"),
        ("neon", "Neon"),
        ("asimddp", "dot product"),
        ("i8mm", "8-bit matrix multiply"),
        ("svei8mm", "SVE 8-bit matrix multiply"),
    ),
}

farm_option = click.option(
    "--farm",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The farm file; else EDGEWRIGHT_FARM, else ./farm.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group()
def device() -> None:
    """List, probe, trust, provision, check and clean devices."""


@device.command("list")
@farm_option
@json_option
def list_devices(farm: Path | None, as_json: bool) -> None:
    """List the devices of the farm file, and this machine. Connects to none."""
    rows = [_described(target) for target in load_inventory(farm).targets]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = [("name", "profile", "address", "tags")]
    table += [(row["name"], row["profile"], row["address"], " ".join(row["tags"])) for row in rows]
    _print_columns(table)


@device.command("probe")
@click.argument("name")
@farm_option
@json_option
def probe_device(name: str, farm: Path | None, as_json: bool) -> None:
    """Connect to the device NAME and show what it is: board, processor, runtimes, sensors, its meter."""
    from edgewright.device import Device
    from edgewright.farm.metered import find_meter
    from edgewright_agent.protocol import encode

    target = load_inventory(farm).get(name)
    with Device.open(target) as opened:
        facts = opened.probe()
        meter = find_meter(opened, target.meter) if target.meter else None
    if as_json:
        told = meter and {
            "source": described(meter.config),
            "scope": meter.config.meter.scope,
            "rate_hz": None if meter.info.reason else meter.info.rate_hz,
            "power_mw": None if meter.info.reason else meter.info.power_mw,
            "reason": one_line(meter.reason) or None,
        }
        found = {"name": name, "profile": target.profile, **encode(facts), "meter": told}
        click.echo(json.dumps(found, indent=2))
    else:
        _print_columns([*_facts(target, facts), *_meter(meter)])
    if all(runtime.reason for runtime in facts.runtimes):
        raise MissingRuntime(
            name,
            "no inference runtime on the device",
            mend=f"edgewright device provision {name}",
        )


@device.command("trust")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Trust a host that is not known yet without asking.")
@click.option("--replace", is_flag=True, help="With --yes, also a host whose key has changed.")
@farm_option
def trust_device(name: str, yes: bool, replace: bool, farm: Path | None) -> None:
    """Show the host key of the device NAME and, when you agree, trust it from now on.

    Compare the fingerprint with what the device itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    from edgewright.transport.ssh import introduce

    target = load_inventory(farm).get(name)
    if not isinstance(target.link, SshAddress):
        raise ConfigError(f"{name} is {target.address}: there is no host key to trust")
    introduce(name, target.link, _decider(name, yes, replace))


@device.command("clean")
@click.argument("name")
@click.option("--force", is_flag=True, help="End the jobs that run there; their results are lost.")
@farm_option
def clean_device(name: str, force: bool, farm: Path | None) -> None:
    """Remove everything Edgewright left on the device NAME."""
    from edgewright.device import clean_up

    cleaned = clean_up(load_inventory(farm).get(name), force=force)
    count = cleaned.cancelled
    ended = f", {count} {'job' if count == 1 else 'jobs'} ended" if count else ""
    click.echo(f"{name}: clean, {_size(cleaned.freed_bytes)} freed{ended}")


device.add_command(attach)
device.add_command(authorize)
device.add_command(doctor)
device.add_command(provision)


def _decider(name: str, yes: bool, replace: bool) -> Callable[[Offer], bool]:
    """Shows each host key on the way, and asks about those that are not trusted."""
    from edgewright.transport.known_hosts import Standing

    def decide(offer: Offer) -> bool:
        host = offer.hop.filed_as
        if offer.standing is Standing.TRUSTED:
            click.echo(f"{host} is trusted: {offer.key}")
            return True
        changed = offer.standing is Standing.CHANGED
        if changed:
            click.echo(
                f"the host key of {host} has CHANGED: somebody may be in between, or it was set up anew"
            )
            for entry in offer.recorded:
                click.echo(f"  known    {entry.key} ({entry})")
            click.echo(f"  offered  {offer.key}")
        else:
            click.echo(f"the host key of {host} is {offer.key}")
        if yes and changed and not replace:
            raise UntrustedHost(
                name, f"host key of {host} has changed", mend="leave out --yes, or add --replace"
            )
        if not (yes or _agreed("replace the known key?" if changed else "trust it?")):
            return False
        click.echo(f"trusted, in {offer.hop.record_in}")
        return True

    return decide


def _agreed(question: str) -> bool:
    """Ask; no answer is no."""
    try:
        return click.confirm(question, default=False)
    except click.Abort:
        click.echo()
        return False


def _described(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "profile": target.profile,
        "address": target.address,
        "tags": list(target.tags),
        "python": target.python,
        "workdir": target.workdir,
    }


def _facts(target: Target, facts: Facts) -> Iterator[tuple[str, str]]:
    """What is worth knowing, line by line: a label and its value."""
    yield "device", f"{target.name} ({target.address}, {target.profile})"
    yield "host name", facts.hostname
    yield "board", facts.board or "does not say"
    if facts.soc:
        yield "SoC", facts.soc
    yield "processor", f"{facts.cpu_count} x {facts.cpu_model or facts.machine}"
    if facts.emulation:
        yield "emulated", f"yes, its times say nothing about a board: {facts.emulation}"
    yield "int8", _int8(facts)
    yield "memory", _size(facts.ram_bytes)
    yield "disk free", _size(facts.disk_free_bytes)
    yield "system", f"{facts.system}, {facts.machine}, {facts.libc}"
    yield "Python", facts.python
    for runtime in facts.runtimes:
        found = (
            f"{runtime.name} {runtime.version}: {', '.join(runtime.providers) or 'no providers of its own'}"
        )
        yield "runtime", f"{runtime.name}: none, {runtime.reason}" if runtime.reason else found
    for sensor in facts.sensors:
        rails = f" ({', '.join(sensor.rails)})" if sensor.rails else ""
        yield "power", f"{sensor.name}: {'none, ' + sensor.reason if sensor.reason else sensor.scope + rails}"
    state = facts.environment
    degrees = {zone: f"{value / 1000:.1f} \N{DEGREE SIGN}C" for zone, value in state.temperature_mc.items()}
    clocks = {core: f"{value / 1000:.0f} MHz" for core, value in state.frequency_khz.items()}
    yield "temperature", _pairs(degrees)
    yield "clock", _pairs(clocks)
    yield "governor", _pairs(state.governor)
    yield "throttled", _pairs({name: f"{flags:#x}" for name, flags in state.throttled.items()})
    yield "power mode", state.power_mode or "does not say"


def _meter(meter: FoundMeter | None) -> Iterator[tuple[str, str]]:
    if meter is None:
        return
    source, info = described(meter.config), meter.info
    if info.reason:
        yield "meter", f"{source}: none, {info.reason}"
    else:
        yield (
            "meter",
            f"{source}: {meter.config.meter.scope}, {info.rate_hz:.3g} readings a second, "
            f"{info.power_mw / 1000:.4g} W now" + (f"; not used: {meter.reason}" if meter.reason else ""),
        )


def _int8(facts: Facts) -> str:
    """Which of the features that make 8-bit arithmetic fast are there, and which are not."""
    family = "x86" if facts.machine in ("x86_64", "i686", "AMD64") else "arm"
    names = dict(INT8_FEATURES[family])
    there = list(dict.fromkeys(title for flag, title in names.items() if flag in facts.cpu_features))
    absent = [title for title in dict.fromkeys(names.values()) if title not in there]
    return f"{', '.join(there) or 'nothing'}; without {', '.join(absent) or 'nothing'}"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "does not say"


def _size(size_bytes: int) -> str:
    power = min(3, max(0, (size_bytes.bit_length() - 1) // 10))
    return f"{size_bytes / 1024**power:.4g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"


def _print_columns(rows: Iterable[tuple[str, ...]]) -> None:
    """Aligned columns; whatever a device says is one harmless line."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
