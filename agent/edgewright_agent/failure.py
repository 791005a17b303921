"""The one exception by which the agent says that a job cannot be done."""

from .protocol_errors import ERROR_CODES, AgentError

#: How a worker ends that has no space to say why; sysexits.h calls it EX_CANTCREAT.
DISK_FULL_STATUS = 73


class AgentFailure(Exception):
    """Carries the :class:`~edgewright_agent.protocol.AgentError` that the host will read."""

    def __init__(self, code: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        assert code in ERROR_CODES, code
        self.error = AgentError(code=code, message=" ".join(message.split()), mend=mend)

    def of(self, name: str) -> "AgentFailure":
        """The same, with the name of what failed in front."""
        return AgentFailure(self.error.code, f"{name}: {self.error.message}", self.error.mend)
