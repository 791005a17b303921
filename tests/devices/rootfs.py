"""Builds what the emulated devices are made of: Debian's userlands for Arm, and a disk that boots.

    python -m tests.devices.rootfs build/stand-ins [arm64|armhf|wheels|adbd]...

leaves these folders there, each complete or absent (machine comes with arm64):

    adbd/           the phone's side of the Android debug bridge, for this machine
    arm64/ armhf/   a userland with Python and an SSH server, and nothing of Edgewright
    wheels/         the runtimes' wheels for both, as a package index would serve them
    machine/        vmlinuz, initrd.gz, disk.ext4 (the arm64 userland), the keys of its SSH server and user

Not one Arm instruction is executed on the way: packages are unpacked and not configured, for which their
scripts would have to run under emulation, and what little of their work a device needs is done here.
"""

from __future__ import annotations

import compileall
import gzip
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import find_command

STAND_INS = Path(__file__).resolve().parents[2] / "build/stand-ins"

#: Debian names its architectures otherwise than the kernel does.
ARCHITECTURES = {"aarch64": "arm64", "armv7l": "armhf"}

_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = """
    base-passwd bash coreutils dash findutils grep gzip hostname iproute2 libatomic1 libc-bin
    libgcc-s1 libstdc++6 login mount openssh-server openssh-sftp-server procps python3 python3-venv
    sed tar tzdata util-linux
"""
#: No index has a wheel of numpy for 32-bit Arm that its only runtime works with; Debian has the package.
_OF_ARMHF = "python3-numpy"
_OF_MACHINE = "busybox-static kmod linux-image-cloud-arm64"
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/lib/python3/dist-packages/pip*",
    "/usr/share/python-wheels/*",
    "/var/lib/apt/lists/*",
)
#: What the machine's kernel needs beyond what is built into it, in an order in which it can be loaded.
_MODULES = (
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_mmio",
    "drivers/block/virtio_blk",
    "drivers/net/virtio_net",
    "drivers/char/hw_random/virtio-rng",
)
#: What packages' scripts link, under the folder of the architecture's libraries.
_ALTERNATIVES = {"libblas.so.3": "blas/libblas.so.3", "liblapack.so.3": "lapack/liblapack.so.3"}
_WHEELS = {
    "aarch64": ("pip", "numpy==2.2.0", "onnxruntime==1.32.0", "ai-edge-litert==2.3.0"),
    "armv7l": ("pip", "tflite-runtime==2.14.0"),
}
#: The platforms of wheels that Debian's C library runs.
_GLIBC_MINORS = (36, 34, 31, 28, 27, 26, 24, 17)
_DISK_MB = 1500
_BUILD_S = 900

_FIRST_STEPS = """#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
while read module; do
    busybox insmod "/modules/$module" || busybox echo "$module: not loaded"
done < /modules/order
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do busybox sleep 0.1; tries=$((tries + 1)); done
busybox mount -t ext4 /dev/vda /root && busybox mount --move /dev /root/dev || exec busybox sh
busybox umount /proc
exec busybox switch_root /root /sbin/device-init
"""
#: The machine's first process: what is mounted, its address, its SSH server; then it collects the orphans.
_INIT = """#!/bin/sh
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
for place in /dev/shm /tmp /run; do mount -t tmpfs tmpfs $place; done
mkdir -p /run/sshd
hostname raspberrypi
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
exec /usr/sbin/sshd -D -E /run/sshd.log
"""
_SSHD_CONFIG = """HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 50:30:100
Subsystem sftp /usr/lib/openssh/sftp-server
"""


def build(folder: Path, parts: Sequence[str]) -> None:
    """Build what is missing under ``folder``; what is half built when this fails is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_PARTS[part], folder) for part in parts]:
            done.result()


def _build_armhf(folder: Path) -> None:
    _complete(folder / "armhf", lambda part: _unpack(part, "armhf", f"{_PACKAGES} {_OF_ARMHF}"))


def _build_wheels(folder: Path) -> None:
    def fetch(part: Path) -> None:
        for machine, wanted in _WHEELS.items():
            words = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311"]
            words += [f"--platform=manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS]
            words += [
                f"--platform=manylinux2014_{machine}",
                "--no-deps" if machine == "armv7l" else "--quiet",
            ]
            _run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(part), *words, *wanted)

    _complete(folder / "wheels", fetch)


def _build_adbd(folder: Path) -> None:
    """Of a newer Debian, the first that has it; only its program and libraries are used."""
    words = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=directory"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    _complete(folder / "adbd", lambda part: _run(*words, "--include=adbd", "trixie", str(part), _MIRROR))


def _build_arm64(folder: Path) -> None:
    userland, machine = folder / "arm64", folder / "machine"
    if userland.is_dir() and machine.is_dir():
        return
    shutil.rmtree(userland, ignore_errors=True)
    part = _fresh(folder / "arm64.part")
    try:
        _unpack(part, "arm64", f"{_PACKAGES} {_OF_MACHINE}")
        _complete(machine, lambda into: _build_machine(into, part))
        part.rename(userland)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _complete(place: Path, make: Callable[[Path], None]) -> None:
    """Have ``make`` fill a folder beside ``place``, and give it that name when it is complete."""
    if place.is_dir():
        return
    part = _fresh(place.with_name(f"{place.name}.part"))
    try:
        make(part)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fresh(part: Path) -> Path:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    return part


def _unpack(root: Path, architecture: str, packages: str) -> None:
    """Fill ``root`` with packages and with what their scripts would have made."""
    words = ["mmdebstrap", "--quiet", "--mode=root", f"--architectures={architecture}", "--variant=extract"]
    words += ["--format=directory", f"--include={','.join(packages.split())}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    words += ["--aptopt=APT::Install-Recommends false", _SUITE, str(root), _MIRROR]
    _run(*words)
    etc = root / "etc"
    shutil.copy(root / "usr/share/base-passwd/passwd.master", etc / "passwd")
    shutil.copy(root / "usr/share/base-passwd/group.master", etc / "group")
    with (etc / "passwd").open("a") as users:
        users.write("sshd:x:104:65534::/run/sshd:/usr/sbin/nologin\n")
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
    (etc / "shadow").chmod(0o600)
    (etc / "hosts").write_text("127.0.0.1 localhost raspberrypi\n")
    (root / "bin/sh").unlink(missing_ok=True)
    (root / "bin/sh").symlink_to("dash")
    for name in ("proc", "sys", "dev", "run", "tmp", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for libraries in (root / "usr/lib").glob("*-linux-gnu*"):
        for link, target in _ALTERNATIVES.items():
            if (libraries / target).exists():
                (libraries / link).symlink_to(target)
    _compile(root)


def _compile(root: Path) -> None:
    """Byte code of the standard library: without it each start of Python takes seconds under emulation."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = root / "usr/lib" / version
    if library.is_dir():  # another Python's byte code would be of no use to it
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(
            str(library), quiet=2, stripdir=str(root), prependdir="/", invalidation_mode=mode
        )


def _build_machine(machine: Path, root: Path) -> None:
    """Kernel, initial RAM disk and disk of a machine whose userland is ``root``, which loses its kernel."""
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    (modules,) = (root / "lib/modules").iterdir()
    shutil.move(kernel, machine / "vmlinuz")
    _make_initrd(machine, modules / "kernel", root / "bin/busybox")
    for place in (root / "boot", modules):
        shutil.rmtree(place)
    for name in ("host_key", "client_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(machine / name))
    (root / "sbin/device-init").write_text(_INIT)
    (root / "sbin/device-init").chmod(0o755)
    (root / "etc/ssh/sshd_config").write_text(_SSHD_CONFIG)
    _put(machine / "host_key", root / "etc/ssh/ssh_host_ed25519_key")
    _put(machine / "client_key.pub", root / "root/.ssh/authorized_keys")
    disk = machine / "disk.ext4"
    with disk.open("wb") as stream:
        stream.truncate(_DISK_MB << 20)
    _run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", str(root), str(disk))


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(source, place)
    place.chmod(0o600)


def _make_initrd(machine: Path, modules: Path, busybox: Path) -> None:
    """The first file system: it loads the drivers of the disk and hands over to it."""
    root = _fresh(machine / "initrd")
    for name in ("bin", "modules", "proc", "dev", "root"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    for module in _MODULES:
        shutil.copy(modules / f"{module}.ko", root / "modules")
    (root / "modules/order").write_text("".join(f"{Path(module).name}.ko\n" for module in _MODULES))
    (root / "init").write_text(_FIRST_STEPS)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in [*root.rglob("*")])
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"],
        input=names.encode(),
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout
    (machine / "initrd.gz").write_bytes(gzip.compress(packed, 1))
    shutil.rmtree(root)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_BUILD_S)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()}")


_PARTS = {"arm64": _build_arm64, "armhf": _build_armhf, "wheels": _build_wheels, "adbd": _build_adbd}


def main(folder: Path, parts: Sequence[str]) -> None:
    """Build these parts or all, which leaves ``.ready`` beside them; without root say what that means."""
    missing = [name for name in ("mmdebstrap", "mke2fs", "cpio", "ssh-keygen") if not find_command(name)]
    if os.geteuid() == 0 and not missing:
        build(folder, parts or tuple(_PARTS))
        if not parts:
            (folder / ".ready").touch()
        return
    why = f"{' '.join(missing)} missing" if missing else "only root can build them"
    sys.stderr.write(f"stand-ins: not built, {why}: the tests that need them will be skipped\n")
    sys.exit(os.environ.get("CI") == "true")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
