"""Every error Edgewright raises, in one tree.

    EdgewrightError
    ├ ConfigError             a file, key or argument the user gave is wrong
    ├ UnsupportedError        this combination cannot exist -> a Skipped row
    ├ VerificationError       a file is not what its manifest says, or not signed by whom it should be
    ├ StoreError              the store of results cannot be opened, read or written
    ├ BuildError
    │ ├ CompressionError      a recipe step failed or changed nothing
    │ ├ ExportError           torch -> ONNX or TFLite failed
    │ └ QualityError          the exported file does not compute what torch computes
    └ DeviceError(target)
      ├ TransientDeviceError  worth another try
      │ ├ TransportError      the link broke or the host cannot be reached
      │ ├ DeviceTimeout       no answer within the bound
      │ ├ DeviceBusy          somebody else holds the device
      │ ├ Quarantined         the farm has set the device aside, and it did not come back in time
      │ ├ JobLost             the device was restarted, or the agent killed, while the job ran
      │ └ UnstableMeasurement measured, but not believable
      └ StableDeviceError     the same again next time
        ├ UntrustedHost       host key unknown or changed
        ├ AccessDenied        the device refused the key or user
        ├ MissingRuntime      Python, numpy or the runtime is not there
        ├ ProviderMissing     a required execution provider did not execute
        ├ ModelRejected       the runtime refused the model, its inputs, or its outputs
        ├ OutOfMemory         the worker exceeded the memory there is
        ├ DiskFull            the device has no space for the files
        ├ Unverified          the device refuses a model that is altered, or not signed by whom it trusts
        ├ ConditionsRefused   governor, power mode or temperature cannot be had as asked
        ├ ProtocolMismatch    host and agent do not speak the same version
        └ AgentFault          the agent itself failed

Third-party exceptions are translated once, where the library is called. The message says what
happened and where; ``mend`` says what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class EdgewrightError(Exception):
    """Base of the tree.

    Args:
        message: one line: what happened and where.
        mend: one line: what the user can do, empty when there is nothing to add.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} ({self.mend})" if self.mend else self.message


class ConfigError(EdgewrightError):
    """Something the user wrote is wrong: a path, a key, a name, an argument."""

    exit_code = 2


class UnsupportedError(EdgewrightError):
    """The combination asked for cannot exist, for example fp16 weights in a runtime without them."""


class VerificationError(EdgewrightError):
    """A built file is not what its manifest says, or the manifest is not signed by whom it should be."""


class StoreError(EdgewrightError):
    """The store of results is damaged, newer than this version, locked, or out of space."""

    exit_code = 2


class BuildError(EdgewrightError):
    """The artifact could not be built."""


class CompressionError(BuildError):
    """A recipe step failed, or left the model as it was."""


class ExportError(BuildError):
    """The module could not be written in the format asked for."""


class QualityError(BuildError):
    """The exported file's outputs differ from the module's by more than the recipe allows."""


class DeviceError(EdgewrightError):
    """A device did not do what was asked. ``target`` is its name in the farm file."""

    code: ClassVar[str] = "device"
    exit_code = 1

    def __init__(self, target: str, message: str, *, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.target = target

    def __str__(self) -> str:
        return f"{self.target}: {super().__str__()}"


class TransientDeviceError(DeviceError):
    """Worth another try."""


class TransportError(TransientDeviceError):
    """The device cannot be reached, or the connection broke."""

    code = "transport"
    exit_code = 3


class DeviceTimeout(TransientDeviceError):
    """No answer within the bound."""

    code = "timeout"


class DeviceBusy(TransientDeviceError):
    """Somebody else holds the device."""

    code = "busy"


class Quarantined(TransientDeviceError):
    """The farm has set the device aside after failures, and it did not come back while it was waited for."""

    code = "quarantined"
    exit_code = 3


class JobLost(TransientDeviceError):
    """The job began and has no outcome: the device was restarted, or the agent killed."""

    code = "lost"


class UnstableMeasurement(TransientDeviceError):
    """A number was produced that cannot be believed."""

    code = "unstable"


class StableDeviceError(DeviceError):
    """The same would happen again; never retried."""


class UntrustedHost(StableDeviceError):
    """The device's host key is unknown, or not the one recorded."""

    code = "untrusted-host"
    exit_code = 3


class AccessDenied(StableDeviceError):
    """The device refused the user or key."""

    code = "access-denied"
    exit_code = 3


class MissingRuntime(StableDeviceError):
    """Python, numpy or the inference runtime is missing or too old on the device."""

    code = "missing-runtime"


class ProviderMissing(StableDeviceError):
    """A required execution provider did not execute."""

    code = "provider-missing"


class InvalidModel(StableDeviceError):
    """The file is no model: truncated, or of another format."""

    code = "invalid-model"
    exit_code = 2


class InvalidInput(StableDeviceError):
    """The inputs or shapes given do not fit the model."""

    code = "invalid-input"
    exit_code = 2


class ModelRejected(StableDeviceError):
    """The runtime refused the model, or its outputs were not numbers or not the host's."""

    code = "model-rejected"


class OutOfMemory(StableDeviceError):
    """The worker was stopped for want of memory."""

    code = "out-of-memory"


class DiskFull(StableDeviceError):
    """There is no space on the device for what it must hold."""

    code = "disk-full"


class Unverified(StableDeviceError):
    """The device does not run this model: it is altered, or nobody it trusts has signed it."""

    code = "unverified"


class ConditionsRefused(StableDeviceError):
    """What was to be set on the device cannot be: no permission, no such thing, or no such value."""

    code = "conditions-refused"


class ProtocolMismatch(StableDeviceError):
    """Host and agent speak different versions, or the device's answer is not the protocol."""

    code = "protocol"


class AgentFault(StableDeviceError):
    """The agent or its worker failed; the message carries the cause."""

    code = "agent-fault"


def device_errors() -> dict[str, type[DeviceError]]:
    """Every kind of device error by its code: what a wire or a stored row holds, as a class again."""
    found: dict[str, type[DeviceError]] = {}
    pending: list[type[DeviceError]] = [DeviceError]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        if "code" in vars(kind):
            found[kind.code] = kind
    return found
