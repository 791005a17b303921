"""What a wheel must be to install on a device: its Python, C library and architecture as tags."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from packaging.tags import Tag, compatible_tags, cpython_tags

from edgewright.device.facts import Facts

#: Older names of three glibc versions.
_ALIASES = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_OLDEST_MINOR = {"x86_64": 5, "i686": 5}
_OLDEST_ELSEWHERE = 17
_NUMBERS = re.compile(r"(glibc|musl) (\d{1,3})\.(\d{1,3})")


@dataclass(frozen=True)
class Platform:
    """A CPython on Linux.

    Attributes:
        version: major, minor and micro of Python.
        libc: ``glibc`` or ``musl`` with its version, or what else it is.
    """

    version: tuple[int, int, int]
    is_free_threaded: bool
    arch: str
    libc: str
    release: str = ""

    @classmethod
    def of(cls, facts: Facts) -> Platform:
        """The device's."""
        major, minor, micro = (*facts.version, 0, 0, 0)[:3]
        return cls((major, minor, micro), facts.is_free_threaded, facts.arch, facts.libc, facts.release)

    @property
    def python(self) -> str:
        """Such as ``3.11``."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def abi(self) -> str:
        """Such as ``cp311``."""
        return f"cp{self.version[0]}{self.version[1]}" + ("t" if self.is_free_threaded else "")

    def with_python(self, minor: int) -> Platform:
        """The same machine with Python 3.``minor``."""
        return replace(self, version=(3, minor, 0), is_free_threaded=False)

    def with_glibc(self, minor: int) -> Platform:
        """The same machine with glibc 2.``minor``."""
        return replace(self, libc=f"glibc 2.{minor}")

    @property
    def names(self) -> tuple[str, ...]:
        """The platforms in wheels' names that run there, the best first."""
        return tuple(self._names())

    def _names(self) -> Iterable[str]:
        match = _NUMBERS.match(self.libc)
        if match:
            kind, major, minor = match[1], int(match[2]), int(match[3])
            if kind == "musl":
                yield from (f"musllinux_{major}_{n}_{self.arch}" for n in range(minor, -1, -1))
            else:
                oldest = _OLDEST_MINOR.get(self.arch, _OLDEST_ELSEWHERE)
                for n in range(minor, oldest - 1, -1):
                    yield f"manylinux_{major}_{n}_{self.arch}"
                    if (major, n) in _ALIASES:
                        yield f"{_ALIASES[major, n]}_{self.arch}"
        yield f"linux_{self.arch}"

    @property
    def tags(self) -> frozenset[Tag]:
        """Every tag of a wheel that installs there."""
        return frozenset(
            [
                *cpython_tags(self.version[:2], [self.abi], self.names),
                *compatible_tags(self.version[:2], f"cp{self.version[0]}{self.version[1]}", self.names),
            ]
        )

    @property
    def pip_words(self) -> tuple[str, ...]:
        """The options that make pip look for wheels of this platform and no other."""
        platforms = [word for name in self.names for word in ("--platform", name)]
        version = ".".join(map(str, self.version))
        return (
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={version}",
            f"--abi={self.abi}",
            *platforms,
        )

    @property
    def markers(self) -> dict[str, str]:
        """What a requirement's conditions are about, as PEP 508 names it."""
        return {
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_release": self.release,
            "platform_system": "Linux",
            "platform_version": "",
            "python_version": self.python,
            "python_full_version": ".".join(map(str, self.version)),
            "implementation_name": "cpython",
            "implementation_version": ".".join(map(str, self.version)),
        }

    def __str__(self) -> str:
        """For people."""
        threads = ", free-threaded" if self.is_free_threaded else ""
        return f"Python {self.python}{threads}, {self.arch}, {self.libc or 'an unknown C library'}"
