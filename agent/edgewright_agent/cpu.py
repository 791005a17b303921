"""The processor: its name, its features, and how much of it this process may use."""

import os
import re
from typing import Dict, List, Tuple

from .sensors.sysfs import find, text_or_empty

#: (implementer, part) of ``/proc/cpuinfo`` -> core. Source: Arm's MIDR_EL1 values, as in the kernel's
#: arch/arm64/include/asm/cputype.h and util-linux's lscpu-arm.c.
_CORES: Dict[Tuple[int, int], str] = {
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xC05): "Cortex-A5",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0E): "Cortex-A17",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD01): "Cortex-A32",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x800): "Kryo 2xx Gold",
    (0x51, 0x801): "Kryo 2xx Silver",
    (0x51, 0x802): "Kryo 3xx Gold",
    (0x51, 0x803): "Kryo 3xx Silver",
    (0x51, 0x804): "Kryo 4xx Gold",
    (0x51, 0x805): "Kryo 4xx Silver",
}

_LINE = re.compile(r"^(?P<key>[^:\t]+?)[ \t]*:[ \t]*(?P<value>.*?)[ \t]*$", re.MULTILINE)


def read_cpuinfo(root: str = "/") -> List[Dict[str, str]]:
    """``/proc/cpuinfo`` as one mapping a processor, the keys in lower case."""
    return parse_cpuinfo(text_or_empty(os.path.join(root, "proc/cpuinfo")))


def parse_cpuinfo(text: str) -> List[Dict[str, str]]:
    """The blocks that describe a processor; Arm's closing block about the board is not one."""
    blocks = []
    for part in re.split(r"\n[ \t]*\n", text):
        block = {m.group("key").strip().lower(): m.group("value") for m in _LINE.finditer(part)}
        if block.get("processor", "").isdigit():
            blocks.append(block)
    return blocks


def model(processors: List[Dict[str, str]]) -> str:
    """``model name``, or the core designs by their identification: ``4x Cortex-A76 + 4x Cortex-A55``."""
    designs: Dict[str, int] = {}
    for processor in processors:
        name = _design(processor) or processor.get("model name", "")
        designs[name] = designs.get(name, 0) + 1
    designs.pop("", None)
    if len(designs) == 1:
        return next(iter(designs))
    return " + ".join(f"{count}x {name}" for name, count in designs.items())


def features(processors: List[Dict[str, str]]) -> Tuple[str, ...]:
    """The flags which every processor has, as Linux names them, sorted.

    Those that decide the speed of integer and half-precision kernels are ``asimddp`` (dotprod), ``i8mm``,
    ``fphp`` and ``asimdhp`` on Arm, ``avx2``, ``avx512_vnni``, ``avx_vnni`` and ``amx_int8`` on x86.
    """
    sets = [set((p.get("features") or p.get("flags") or "").split()) for p in processors]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def count(root: str = "/") -> int:
    """How many CPUs this process may use: its affinity, and its control group's quota rounded down."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota_v2(text_or_empty(f"{folder}/cpu.max")) for folder in _groups(root, "")]
    quotas += [_quota_v1(folder) for folder in _groups(root, "cpu")]
    return max(1, min([allowed, *(int(quota) for quota in quotas if quota > 0)]))


def ram_bytes(root: str = "/") -> int:
    """The machine's memory, or what this process's control group leaves of it. 0 when it is not told."""
    found = re.search(
        r"^MemTotal:\s+(\d+) kB", text_or_empty(os.path.join(root, "proc/meminfo")), re.MULTILINE
    )
    total = int(found.group(1)) * 1024 if found else 0
    files = [f"{folder}/memory.max" for folder in _groups(root, "")]
    files += [f"{folder}/memory.limit_in_bytes" for folder in _groups(root, "memory")]
    limits = [int(text) for text in map(text_or_empty, files) if text.isdigit() and int(text) > 0]
    return min([total, *limits]) if total else 0


def _design(processor: Dict[str, str]) -> str:
    try:
        key = (int(processor["cpu implementer"], 16), int(processor["cpu part"], 16))
    except (KeyError, ValueError):
        return ""
    return _CORES.get(key, f"implementer {key[0]:#04x} part {key[1]:#05x}")


def _groups(root: str, controller: str) -> List[str]:
    """The process's control group and its ancestors: version 2 without ``controller``, else version 1."""
    folders: List[str] = []
    for line in text_or_empty(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if (controller in controllers.split(",")) if controller else controllers == "":
            parts = [part for part in group.split("/") if part and part != ".."]
            for mount in find(root, f"sys/fs/cgroup/{controllers}" if controller else "sys/fs/cgroup"):
                folders += ["/".join([mount, *parts[:depth]]) for depth in range(len(parts) + 1)]
    return folders


def _quota_v2(text: str) -> float:
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return 0.0
    return max(1.0, int(words[0]) / int(words[1]))


def _quota_v1(folder: str) -> float:
    return _quota_v2(
        f"{text_or_empty(folder + '/cpu.cfs_quota_us')} {text_or_empty(folder + '/cpu.cfs_period_us')}"
    )
