"""What ONNX Runtime's allocator holds, as the runtime itself tells.

The Python interface has no allocator statistics; a profile has them, node by node, in the versions that write
them. So they are read from a profile of one more session, after everything else is done.
"""

import os
import re
from typing import Any, Dict, Optional, Sequence, Tuple

from ..protocol import Execution
from .onnx_providers import create

#: The arena grows in the first inference and is what it is from then on.
_RUNS = 2
_CPU = "CPUExecutionProvider"
_HELD = re.compile(rb'"mem_arena_held"\s*:\s*"?(\d{1,15})')


def arena_bytes(
    module: Any,
    path: str,
    execution: Execution,
    feeds: Dict[str, Any],
    folder: str,
    providers: Sequence[str],
) -> Tuple[Optional[int], str]:
    """Bytes held by the CPU arena after two inferences, initializers included, or why that is not known.

    ``providers`` are those that run: an engine built for an accelerator is not built once more for this.
    """
    others = [name for name in providers if name != _CPU]
    if others:
        return None, f"read only where nothing but {_CPU} runs, here also {', '.join(others)}"
    session = create(module, path, execution, trace_prefix=os.path.join(folder, "arena"))
    for _ in range(_RUNS):
        session.run(None, feeds)
    trace = str(session.end_profiling())
    held = 0
    try:
        with open(trace, "rb") as stream:
            for line in stream:
                held = max([held, *map(int, _HELD.findall(line))])
    finally:
        os.unlink(trace)
    if not held:
        return (
            None,
            f"onnxruntime {module.__version__} tells it neither in its profile nor in Python",
        )
    return held, "mem_arena_held of onnxruntime's profile, in a session of its own"
