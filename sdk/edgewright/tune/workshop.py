"""Building on this host while devices measure: one file at a time, shared by all devices of a study."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from edgewright.artifact import Artifact
from edgewright.build import build
from edgewright.errors import EdgewrightError
from edgewright.profile import DeviceProfile
from edgewright.workloads import WorkloadSource

from .features import shape_of
from .figures import Built
from .setting import Setting
from .space import format_of

Say = Callable[[str], None]


class Workshop:
    """Builds settings of one workload; a context manager.

    Attributes:
        quiet: held while anything is built, and by whoever measures on this very machine: they take turns.
    """

    def __init__(self, source: WorkloadSource, cache: Path, say: Say) -> None:
        self._source = source
        self._cache = cache
        self._say = say
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="edgewright-build")
        self.quiet = threading.Lock()

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def artifact(self, setting: Setting, profile: DeviceProfile) -> Artifact:
        """The file of a setting, built now or found in the cache.

        Raises:
            BuildError, UnsupportedError, ConfigError: it cannot be built.
        """
        return build(
            self._source,
            setting.recipe(),
            profile.name,
            profile,
            format_of(setting.runtime),
            cache=self._cache,
            progress=self._say,
        )

    def submit(self, setting: Setting, profile: DeviceProfile) -> Future[Built]:
        """Have a setting built when its turn comes."""
        return self._pool.submit(self._made, setting, profile)

    def _made(self, setting: Setting, profile: DeviceProfile) -> Built:
        with self.quiet:
            artifact = self.artifact(setting, profile)
            return Built(
                sha256=artifact.sha256,
                size_bytes=artifact.size_bytes,
                format=artifact.format,
                quality=artifact.quality,
                shape=shape_of(artifact.path, artifact.format),
            )


class DeviceBuilder:
    """The workshop as the search on one device sees it."""

    def __init__(self, workshop: Workshop, profile: DeviceProfile) -> None:
        self._workshop = workshop
        self._profile = profile
        self._waiting: dict[Setting, Future[Built]] = {}

    def begin(self, setting: Setting) -> None:
        """See :class:`edgewright.tune.crew.Builder`."""
        self._waiting[setting] = self._workshop.submit(setting, self._profile)

    def result(self, setting: Setting) -> Built | EdgewrightError:
        """See :class:`edgewright.tune.crew.Builder`."""
        try:
            return self._waiting.pop(setting).result()
        except EdgewrightError as error:
            return error
