"""Clock frequencies and governors."""

import os
import re
from typing import Dict

from .sysfs import find, int_or_none, text_or_empty

_POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
_GPU = re.compile(r"gpu|ga10b|gv11b|gp10b|kgsl|mali", re.IGNORECASE)
_MHZ = re.compile(r"^cpu MHz\s*:\s*(?P<mhz>\d+(?:\.\d+)?)$", re.MULTILINE | re.ASCII)


def read_frequencies(root: str = "/") -> Dict[str, int]:
    """Clock -> kilohertz now: ``cpuN`` is the first CPU of its cluster, ``gpu`` the graphics clock."""
    found: Dict[str, int] = {}
    for policy in find(root, _POLICIES):
        khz = int_or_none(os.path.join(policy, "scaling_cur_freq"))
        if khz is not None:
            found[_cpu(policy)] = khz
    if not found:
        text = text_or_empty(os.path.join(root, "proc/cpuinfo"))
        found = {f"cpu{i}": round(float(mhz) * 1000) for i, mhz in enumerate(_MHZ.findall(text))}
    for device in find(root, "sys/class/devfreq/*"):
        hertz = int_or_none(os.path.join(device, "cur_freq"))
        if hertz is not None and _GPU.search(os.path.basename(device)):
            found["gpu"] = hertz // 1000
    return found


def read_governors(root: str = "/") -> Dict[str, str]:
    """First CPU of the cluster -> name of its frequency governor."""
    texts = {_cpu(p): text_or_empty(os.path.join(p, "scaling_governor")) for p in find(root, _POLICIES)}
    return {cpu: text for cpu, text in texts.items() if text}


def _cpu(policy: str) -> str:
    return "cpu" + os.path.basename(policy)[len("policy") :]
