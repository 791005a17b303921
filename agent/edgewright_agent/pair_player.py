"""A side's process as the one that conducts it sees it: started, told what to do, and stopped in between."""

import json
import os
import signal
import socket
import subprocess
from typing import List, Tuple

from .child import Ending, before_exec, oom_kills, resident_bytes, worker_command
from .failure import AgentFailure
from .files import write_json
from .pair_wire import ANSWER, BLOCK, END, FAILED, REPORT, REQUEST, WARM_UP, SideReport, SideRequest
from .protocol import Job, Samples, decode, encode
from .protocol_pair import PairPlan, PairSide


class SideProcess:
    """The process of one side. It runs from a question to the answer, and is stopped otherwise.

    Args:
        name: ``A`` or ``B``, for messages.
        folder: where its model is, and its report will be.
        job: what to open.
        plan: how to time it.
    """

    def __init__(self, name: str, folder: str, job: Job, plan: PairPlan) -> None:
        self._name = name
        self._folder = folder
        self._limit_bytes = job.limits.memory_bytes
        self._oom_before = oom_kills()
        write_json(os.path.join(folder, REQUEST), encode(SideRequest(job, plan)))
        self._wire, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                worker_command(folder, theirs.fileno(), "pair-side"),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                preexec_fn=before_exec(()),
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def opened(self) -> None:
        """Wait until the model is open.

        Raises:
            AgentFailure: it could not be opened, or its outputs are not the host's.
        """
        self._answer()
        self._stop()
        self._check_memory()

    def warm_up(self) -> None:
        """Run for a while."""
        self._ask(WARM_UP)
        self._check_memory()

    def block(self) -> int:
        """Run one block; how many inferences it held."""
        return self._ask(BLOCK)

    def end(self) -> Tuple[PairSide, Samples]:
        """What ran, and all its inferences."""
        self._tell(END)
        self._answer()
        report = self._report()
        assert report.side is not None
        return report.side, report.latency_ns

    def close(self) -> None:
        """End the process, wherever it is."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        self._wire.close()

    def _ask(self, word: bytes) -> int:
        self._tell(word)
        answer = self._answer()
        self._stop()
        return answer

    def _tell(self, word: bytes) -> None:
        os.kill(self._process.pid, signal.SIGCONT)
        try:
            self._wire.sendall(word)
        except OSError:
            raise self._ended() from None

    def _answer(self) -> int:
        pieces: List[bytes] = []
        missing = ANSWER.size
        while missing:
            try:
                piece = self._wire.recv(missing)
            except OSError:
                piece = b""
            if not piece:
                raise self._ended()
            pieces.append(piece)
            missing -= len(piece)
        answer: int = ANSWER.unpack(b"".join(pieces))[0]
        if answer == FAILED:
            error = self._report().error
            assert error is not None
            raise AgentFailure(error.code, error.message, error.mend).of(self._name)
        return answer

    def _stop(self) -> None:
        """Stop all its threads, and return when they have."""
        os.kill(self._process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            self._process.returncode = code  # it was waited for here, so Popen can no longer learn it
            raise self._ended()

    def _ended(self) -> AgentFailure:
        """Why the process is no more."""
        code = self._process.wait()
        return Ending(code, "", oom_kills() > self._oom_before, "").failure().of(self._name)

    def _check_memory(self) -> None:
        resident = resident_bytes(self._process.pid)
        if self._limit_bytes and resident is not None and resident > self._limit_bytes:
            raise AgentFailure(
                "out-of-memory",
                f"{self._name}: its {resident} resident bytes exceed the limit of {self._limit_bytes}",
                "use a smaller model or a higher limit",
            )

    def _report(self) -> SideReport:
        path = os.path.join(self._folder, REPORT)
        with open(path, encoding="utf-8") as stream:
            report = decode(SideReport, json.load(stream))
        os.unlink(path)
        return report
