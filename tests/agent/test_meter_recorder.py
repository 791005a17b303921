"""Recording a meter: a command, a TCP connection, a serial port, and all that goes wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.devices.meters import STEADY, printer, serial_port, tcp_server

from edgewright_agent.meter import recorder as module
from edgewright_agent.meter.lines import MAX_LINE_BYTES
from edgewright_agent.meter.recorder import Recorder, probe
from edgewright_agent.protocol import Meter, MeterFormat, MeterInfo, MeterRecording, decode, encode

WATTS = MeterFormat(power="1")


def command(code: str, layout: MeterFormat = WATTS) -> Meter:
    return Meter("command", "board", layout, printer(code))


def record(meter: Meter, until: int = 5, timeout_s: float = 20.0) -> MeterRecording:
    """Record until there are so many readings, or the meter has ended."""
    recorder = Recorder(meter)
    recorder.start()
    deadline = time.monotonic() + timeout_s
    while len(recorder._values) < until and recorder._thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    return recorder.stop()


def test_a_command_s_readings_with_the_times_at_which_they_came() -> None:
    before = time.monotonic_ns()
    found = record(command(STEADY), until=20)
    assert found.reason == ""
    assert set(found.values_mw) == {3250} and len(found.values_mw) == len(found.t_ns) == found.lines >= 20
    assert before < found.t_ns[0] and list(found.t_ns) == sorted(found.t_ns)
    assert found.t_ns[-1] <= time.monotonic_ns()
    assert (found.t_ns[19] - found.t_ns[0]) / 19e9 == pytest.approx(0.02, rel=0.5)
    begin, end = found.wall_ns
    assert abs(begin + time.monotonic_ns() - time.time_ns()) < 10**8 and abs(begin - end) < 10**8
    assert decode(MeterRecording, json.loads(json.dumps(encode(found)))) == found


def test_its_own_times_are_kept() -> None:
    layout = MeterFormat(power="2", time="1", time_unit="ms")
    code = "for i in range(10**6): print(i * 10, 1.0, flush=True); time.sleep(0.01)"
    found = record(command(code, layout), until=10)
    assert list(found.own_ns[:3]) == [0, 10_000_000, 20_000_000]


def test_a_tcp_stream_is_read_from_its_first_whole_line() -> None:
    with tcp_server(b"9.9", b"99\n3.5\n") as port:
        found = record(Meter("tcp", "board", WATTS, address="127.0.0.1", port=port))
    # 9.999 came whole, but whether it began before anybody listened could not be known.
    assert found.reason == "" and found.values_mw[0] == 3500


def test_a_serial_port_is_read_raw() -> None:
    with serial_port(b"2.5\r\n") as path:
        found = record(Meter("serial", "board", WATTS, address=path, baud=115200))
    assert found.reason == "" and set(found.values_mw) == {2500}


def test_a_serial_port_belongs_to_one_reader() -> None:
    with serial_port(b"2.5\r\n") as path:
        meter = Meter("serial", "board", WATTS, address=path, baud=115200)
        first = Recorder(meter)
        first.start()
        first.wait(10)
        assert "cannot be used" in record(meter).reason
        assert first.stop().reason == ""


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        (Meter("command", "x", WATTS, ("/no/such/meter",)), "cannot be started: No such file or directory"),
        (Meter("command", "x", WATTS, ()), "cannot be started"),
        (Meter("tcp", "x", WATTS, address="127.0.0.1", port=1), "cannot be reached: Connection refused"),
        (Meter("serial", "x", WATTS, address="/dev/no-such-port", baud=9600), "No such file or directory"),
        (Meter("serial", "x", WATTS, address="/dev/null", baud=123), "no speed of 123 baud"),
        (Meter("serial", "x", WATTS, address="/dev/null", baud=9600), "cannot be used"),
        (Meter("smoke", "x", WATTS), "no kind of meter is called 'smoke'"),
    ],
)
def test_a_meter_that_cannot_be_opened_says_why(meter: Meter, reason: str) -> None:
    found = record(meter)
    assert reason in found.reason and len(found.values_mw) == 0
    assert reason in probe(meter).reason


def test_a_meter_that_dies_is_told_with_its_last_words() -> None:
    found = record(command("print(1.5, flush=True); sys.exit('the fuse has blown')"), until=10)
    assert "the meter ended after" in found.reason
    assert "ended with status 1: the fuse has blown" in found.reason
    killed = record(command("print(1.5, flush=True); os.kill(os.getpid(), 9)"), until=10)
    assert "ended with SIGKILL" in killed.reason


def test_a_connection_that_is_closed_is_told() -> None:
    with tcp_server(b"1.5\n1.5\n", forever=False) as port:
        found = record(Meter("tcp", "board", WATTS, address="127.0.0.1", port=port), until=10)
    assert f"127.0.0.1:{port} closed the connection" in found.reason


def test_a_meter_that_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.2)
    recorder = Recorder(
        command("for _ in range(6): print(1.5, flush=True); time.sleep(0.01)\ntime.sleep(60)")
    )
    recorder.start()
    recorder.wait(10)
    time.sleep(0.5)
    assert "the meter stopped: no reading for the last 0." in recorder.stop().reason


def test_lines_that_are_no_readings_are_counted_and_too_many_refused() -> None:
    code = "print('volts watts'); print('# version 2')\nwhile True: print(1.5, flush=True); time.sleep(0.002)"
    found = record(command(code), until=50)
    assert (found.reason, found.garbage) == ("", 2) and found.lines == len(found.values_mw) + 2
    code = "while True: print('\\x1b[31mhm'); print(1.5, flush=True); time.sleep(0.002)"
    found = record(command(code), until=50)
    assert found.garbage >= 49 and "lines were no readings, like '\\x1b[31mhm'" in found.reason


def test_a_meter_the_wrong_way_round_is_refused() -> None:
    found = record(command("while True: print(-1.5, flush=True); time.sleep(0.002)"), until=20)
    assert "readings are negative: is the meter connected the wrong way round?" in found.reason


def test_an_endless_line_fills_no_memory_and_is_one_line() -> None:
    code = "for _ in range(300): sys.stdout.write('7' * 65536)\nprint(flush=True)\n" + STEADY
    recorder = Recorder(command(code))
    recorder.start()
    recorder.wait(20)
    assert len(recorder._partial) <= MAX_LINE_BYTES + 1
    found = recorder.stop()
    assert (found.reason, found.garbage) == ("", 1) and set(found.values_mw) == {3250}


def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_READINGS", 1000)
    found = record(command("while True: print(1.5)"), until=10**9)
    assert "more than 1000 readings" in found.reason and len(found.values_mw) == 1000


def test_a_command_that_babbles_on_standard_error_is_drained() -> None:
    code = "sys.stderr.write('x' * 300_000)\n" + STEADY
    assert record(command(code)).reason == ""


def test_the_command_and_what_it_started_end_with_the_recording() -> None:
    code = (
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nprint(child.pid, flush=True)\n"
        + STEADY
    )
    found = record(command(code), until=5)
    child = found.values_mw[0] // 1000
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_probe_tells_rate_start_and_power() -> None:
    found = probe(command("time.sleep(0.3)\nwhile True: print(3.0, flush=True); time.sleep(0.05)"))
    assert found.reason == "" and found.power_mw == 3000
    assert found.rate_hz == pytest.approx(20, rel=0.3)
    assert found.startup_ns > 300_000_000


def test_a_probe_s_rate_is_by_the_meter_s_own_times_where_it_tells_them() -> None:
    layout = MeterFormat(power="2", time="1")
    code = "for i in range(10**6): print(i * 0.5, 1.0, flush=True); time.sleep(0.01)"
    assert probe(command(code, layout)).rate_hz == pytest.approx(2)


def test_a_fast_meter_whose_lines_come_in_packets_is_no_burst() -> None:
    found = probe(command("while True: print('\\n'.join(['1.5'] * 16), flush=True); time.sleep(0.016)"))
    assert found.reason == "" and 20 < found.rate_hz < 200


def test_a_probe_of_a_meter_that_says_nothing_ends() -> None:
    found = probe(command("time.sleep(60)"), timeout_s=0.5)
    assert "gave no reading (0 of 0 lines were none)" in found.reason


def test_a_probe_sees_buffered_output() -> None:
    found = probe(command("print('\\n'.join(['1.5'] * 9), flush=True); time.sleep(60)"))
    assert "9 readings came all at once: is its output buffered?" in found.reason


def agent(*words: str, meter: object, more: str = "") -> list[dict[str, object]]:
    command_line = [sys.executable, "-m", "edgewright_agent", "--root", "/nonexistent", "meter", *words]
    said = json.dumps(meter if isinstance(meter, dict) else encode(meter)) + "\n" + more
    done = subprocess.run(command_line, input=said, capture_output=True, text=True, timeout=60, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_agent_s_command_probes_and_records() -> None:
    hello, event = agent("probe", meter=command(STEADY))
    assert hello["event"] == "hello"
    assert decode(MeterInfo, event["meter"]).power_mw == 3250
    found = decode(MeterRecording, agent("record", meter=command(STEADY))[1]["recording"])
    assert "no reading" in found.reason  # standard input had ended before the first


def test_the_agent_refuses_what_is_no_meter() -> None:
    for meter in ({"kind": "tcp"}, {"kind": 3, "scope": "x"}):
        error = agent("probe", meter=meter)[1]["error"]
        assert isinstance(error, dict) and error["code"] == "protocol" and "no meter" in error["message"]
    assert agent("smoke", meter=command(STEADY))[1]["event"] == "error"
