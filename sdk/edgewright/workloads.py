"""Loading ``file.py:factory``, checking what it returns, and running the user's code under watch."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .boundary import summary
from .config import did_you_mean
from .dependencies import Dependency, Recorder, local_modules
from .errors import ConfigError
from .training_data import guarded_training
from .workload import Training, Workload

SEED = 0
_MODULE_PREFIX = "edgewright_workload_"


@dataclass(frozen=True)
class WorkloadSource:
    """``file.py:factory``, parsed. ``path`` is absolute."""

    path: Path
    factory: str

    @classmethod
    def parse(cls, text: str) -> WorkloadSource:
        """Split ``text``, and see that the file is there.

        Raises:
            ConfigError: for another form, or a file that does not exist.
        """
        file, colon, factory = text.rpartition(":")
        if not colon or not file or not factory.isidentifier():
            raise ConfigError(f"{text!r} does not name a workload", mend="expected FILE.py:FACTORY")
        path = Path(file).expanduser()
        if path.suffix != ".py":
            raise ConfigError(f"{file}: not a Python file", mend="expected FILE.py:FACTORY")
        if not path.is_file():
            raise ConfigError(f"{file}: no such file")
        return cls(path.resolve(), factory)

    def __str__(self) -> str:
        return f"{self.path}:{self.factory}"


class LoadedWorkload:
    """A workload whose own code, wherever it runs, is watched for what it reads.

    ``workload`` is the user's with its calibration made into a tuple, and ``train`` and ``score``
    guarded, as its training data and loss are: what they raise becomes a ConfigError that names the place.
    """

    def __init__(self, source: WorkloadSource) -> None:
        self.source = source
        self._recorder = Recorder()
        self._surroundings = _Surroundings(source.path.parent)
        with self.running("loading"):
            module = _import(source)
        factory = _factory(module, source)
        with self.running(f"factory {source.factory!r}"):
            returned = factory()
        if not isinstance(returned, Workload):
            raise ConfigError(
                f"{source}: returned {type(returned).__name__}, not a Workload",
                mend="return edgewright.workload.Workload(...)",
            )
        with self.running("calibration"):
            calibration = tuple(tuple(sample) for sample in returned.calibration)
        self.workload = self._guarded(dataclasses.replace(returned, calibration=calibration))

    @contextlib.contextmanager
    def running(self, what: str) -> Iterator[None]:
        """Run the user's code from a fixed seed, watched, in its surroundings; prints go to stderr."""
        with self.reading(what):
            seed_everything()
            yield

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """The same in the midst of something else, of which the random draws go on."""
        prints = contextlib.redirect_stdout(sys.stderr)
        inside, watch = self._surroundings.entered(), self._recorder.watching()
        with prints, _user_error(self.source, what), inside, watch:
            yield

    def at_home(self) -> contextlib.AbstractContextManager[None]:
        """Let the user's code import what lies beside it, wherever it is called in the block.

        What is imported in the block for another reason goes before a file beside it of the same name.
        """
        return self._surroundings.entered(last=True)

    def dependencies(self) -> tuple[Dependency, ...]:
        """What the workload has read so far."""
        return self._recorder.dependencies()

    def has_read(self, dependencies: Iterable[Dependency]) -> None:
        """What is taken up was made from these as well, when another process read them."""
        for dependency in dependencies:
            self._recorder.add(dependency.path, folder=dependency.folder)

    def _guarded(self, workload: Workload) -> Workload:
        train, evaluate, training = workload.train, workload.evaluate, workload.training
        if train is not None:
            workload = dataclasses.replace(workload, train=self._guard("train", train))
        if evaluate is not None:
            score = self._guard("score", evaluate.score)
            workload = dataclasses.replace(workload, evaluate=dataclasses.replace(evaluate, score=score))
        if isinstance(training, Training):
            workload = dataclasses.replace(
                workload, training=guarded_training(training, self.reading, str(self.source))
            )
        return workload

    def _guard(self, what: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def guarded(argument: Any) -> Any:
            with self.running(what):
                return function(argument)

        return guarded


def load_workload(source: WorkloadSource) -> LoadedWorkload:
    """Import the file, call the factory, and check that the model runs on the example inputs.

    Raises:
        ConfigError: one line with the file and, where the user's code raised, its line.
    """
    from .workload_check import check_workload

    loaded = LoadedWorkload(source)
    with loaded.at_home():
        check_workload(loaded.workload, source)
    return loaded


def seed_everything() -> None:
    """Fix the seeds of the generators that user code draws from, so that a build can be repeated."""
    random.seed(SEED)
    np.random.seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


class _user_error(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """What the user's code raises becomes one line that says where."""

    def __init__(self, source: WorkloadSource, what: str) -> None:
        self._source = source
        self._what = what

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SystemExit) or (
            isinstance(error, Exception) and not isinstance(error, ConfigError)
        ):
            file, line = _place(error, self._source.path)
            raise ConfigError(f"{file}:{line}: {self._what} raised {summary(error)}") from error


def _place(error: BaseException, path: Path) -> tuple[str, int]:
    """The innermost line of the user's file in the traceback; a syntax error's own place."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == path.parent]
    return (own[-1].filename, own[-1].lineno or 1) if own else (str(path), 1)


def _import(source: WorkloadSource) -> ModuleType:
    """Execute the file as a module of its own."""
    name = _MODULE_PREFIX + source.path.stem
    spec = importlib.util.spec_from_file_location(name, source.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _Surroundings:
    """What one workload's code imports, and the place it imports from.

    Its folder is first on the path, as Python does for a script, and the user's modules that another
    workload brought in are out of the way: two folders may each have their ``helpers.py``, and what a
    module reads as it is imported is only seen when it is imported.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._modules: dict[str, ModuleType] = {}
        self._strangers: set[str] = set()

    @contextlib.contextmanager
    def entered(self, *, last: bool = False) -> Iterator[None]:
        """To the end of the block, with the folder first on the path or last.

        ``sys.path`` is replaced and never changed in place: a thread that goes through it meanwhile to find
        a package would pass one over when a folder leaves the front.
        """
        global _AT_HOME
        if _AT_HOME is not self:
            for name in _BROUGHT & set(sys.modules):
                del sys.modules[name]
            self._strangers = set(local_modules())
            sys.modules.update(self._modules)
            _AT_HOME = self
        before = len(sys.modules)
        sys.path = [*sys.path, self._folder] if last else [self._folder, *sys.path]
        try:
            yield
        finally:
            sys.path = _without(sys.path, self._folder, last=last)
            if len(sys.modules) != before or not self._modules:
                brought = set(local_modules()) - self._strangers
                self._modules = {name: sys.modules[name] for name in brought}
                _BROUGHT.update(brought)


#: Names of the user's modules that any workload has imported, and the one whose modules are in place.
_BROUGHT: set[str] = set()
_AT_HOME: _Surroundings | None = None


def _without(path: list[str], folder: str, *, last: bool) -> list[str]:
    """``path`` less one mention of ``folder``, which may be on it by the user's own hand as well."""
    where = [number for number, held in enumerate(path) if held == folder]
    dropped = (where[-1] if last else where[0]) if where else None
    return [held for number, held in enumerate(path) if number != dropped]


def _factory(module: ModuleType, source: WorkloadSource) -> Callable[[], Any]:
    found = getattr(module, source.factory, None)
    if not callable(found):
        functions = [
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and name[0] != "_"
        ]
        problem = "is not a function" if found is not None else "is not there"
        raise ConfigError(
            f"{source.path}: factory {source.factory!r} {problem}",
            mend=did_you_mean(source.factory, functions),
        )
    return found  # type: ignore[no-any-return]
