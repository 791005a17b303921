"""Wheels on this host: whole or refused, and followed by the device's own conditions."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.devices.wheelhouse import FolderPip, Wheelhouse

from edgewright.errors import ConfigError, EdgewrightError
from edgewright.provision.fetch import fetch
from edgewright.provision.host_pip import HostPip, NoWheelError
from edgewright.provision.platform import Platform
from edgewright.provision.wheels import closure, read_wheel

OLD = Platform((3, 8, 18), False, "aarch64", "glibc 2.31")
NEW = Platform((3, 12, 1), False, "aarch64", "glibc 2.39")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return Wheelhouse(tmp_path / "house")


def test_a_whole_wheel(house: Wheelhouse) -> None:
    wheel = read_wheel(house.add("some_thing", "1.2", {"some_thing.py": "x = 1\n"}, requires=["numpy>=1"]))
    assert (wheel.name, wheel.version, wheel.requires) == ("some-thing", "1.2", ("numpy>=1",))
    assert wheel.ref.name == "some_thing-1.2-py3-none-any.whl"
    assert wheel.unpacked_bytes > len("x = 1\n")


def rewritten(path: Path, name: str, text: str) -> Path:
    """The wheel with one file replaced or added."""
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**contents, name: text.encode()}.items():
            archive.writestr(file, data)
    return path


@pytest.mark.parametrize("name", ["some_thing.py", "smuggled.py", "../../.bashrc", "/etc/cron.d/x"])
def test_a_file_that_its_record_does_not_know(house: Wheelhouse, name: str) -> None:
    path = rewritten(house.add("some_thing", "1.2", {"some_thing.py": "x = 1\n"}), name, "x = 2\n")
    with pytest.raises(EdgewrightError, match=r"leads out of it|is not what the wheel's own record says"):
        read_wheel(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_a_damaged_wheel_is_whole_or_refused(house: Wheelhouse, at: int, value: int, cut: int) -> None:
    path = house.add("some_thing", "1.2", {"some_thing.py": "x = 1\n" * 40})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(bytes(data[: max(cut, 200)]))
    try:
        assert read_wheel(path).name == "some-thing"
    except EdgewrightError as error:
        assert path.name in str(error)


def test_conditions_are_the_device_s_own(house: Wheelhouse) -> None:
    requires = [
        'backport; python_version < "3.9"',
        'desktop; sys_platform == "win32"',
        'spare; extra == "all"',
    ]
    wheels = [
        read_wheel(house.add("tool", "1.0", {"tool.py": ""}, requires=requires)),
        read_wheel(house.add("backport", "2.0", {"backport.py": ""})),
        read_wheel(house.add("unneeded", "2.0", {"unneeded.py": ""})),
    ]
    assert [one.name for one in closure(["tool"], wheels, OLD.markers, {}).wheels] == ["backport", "tool"]
    assert [one.name for one in closure(["tool"], wheels, NEW.markers, {}).wheels] == ["tool"]
    found = closure(["tool[all]"], wheels, NEW.markers, {})
    assert found.missing == ("spare",)
    assert closure(["tool[all]"], wheels, NEW.markers, {"spare": "1"}).missing == ()
    assert closure(["backport<2"], wheels, NEW.markers, {}).missing == ("backport<2",)


def test_what_pip_overlooks_is_asked_for_again(house: Wheelhouse, tmp_path: Path) -> None:
    """As with a condition on Python that this host does not meet and the device does."""
    house.add_pip()
    house.add("tool", "1.0", {"tool.py": ""}, requires=['backport; python_version < "3.9"'])
    house.add("backport", "2.0", {"backport.py": ""}, requires=["deeper"])
    house.add("deeper", "3.0", {"deeper.py": ""})
    fetched = fetch(FolderPip(house), ["tool"], {}, OLD, tmp_path)
    assert [wheel.name for wheel in fetched.wheels] == ["backport", "deeper", "tool"]
    assert fetched.installer.name == "pip"


# --- pip itself --------------------------------------------------------------------------------------


@pytest.fixture
def only_here(house: Wheelhouse, monkeypatch: pytest.MonkeyPatch) -> Wheelhouse:
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)
    return house


def test_pip_is_asked_for_another_platform(only_here: Wheelhouse, tmp_path: Path) -> None:
    only_here.add_onnxruntime("1.32.0", tag="cp312-cp312-manylinux_2_28_aarch64")
    only_here.add_onnxruntime("1.19.2", tag="cp38-cp38-manylinux_2_27_aarch64")
    only_here.add_numpy()
    pip = HostPip()
    assert [str(version) for version in pip.versions("onnxruntime", NEW)] == ["1.32.0"]
    assert [str(version) for version in pip.versions("onnxruntime", OLD)] == ["1.19.2"]
    assert pip.versions("ai-edge-litert", NEW) == ()
    pip.download(["onnxruntime"], NEW, tmp_path / "got")
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == [
        "numpy-2.2.0-py3-none-any.whl",
        "onnxruntime-1.32.0-cp312-cp312-manylinux_2_28_aarch64.whl",
    ]
    with pytest.raises(NoWheelError, match=r"no wheel of numpy>=3 for Python 3\.12, aarch64, glibc 2\.39"):
        pip.download(["numpy>=3"], NEW, tmp_path / "none")


def test_an_index_that_cannot_be_reached_is_no_missing_wheel(
    only_here: Wheelhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
    monkeypatch.setenv("PIP_INDEX_URL", "http://somebody:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(EdgewrightError, match="cannot reach its index") as caught:
        HostPip().versions("numpy", NEW)
    assert not isinstance(caught.value, NoWheelError)
    assert "hunter2" not in str(caught.value)


def test_a_host_without_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(ConfigError, match="has no pip"):
        HostPip().versions("numpy", NEW)
