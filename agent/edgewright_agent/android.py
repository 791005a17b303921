"""What an Android is, from its properties: also seen from a Debian in Termux, which has ``/system`` too."""

from typing import NamedTuple, Optional

from .sensors import commands
from .sensors.sysfs import SensorError


class Android(NamedTuple):
    """One Android; texts are its maker's own, and empty where it does not tell.

    Attributes:
        version: such as ``Android 14 (API 34)``.
        board: maker and model.
        soc: the chip; Android 12 and newer name it, older ones tell the platform it belongs to.
    """

    version: str
    board: str
    soc: str


def read_android(root: str = "/", path: str = "") -> Optional[Android]:
    """None where this is no Android, or its ``getprop`` does not work."""
    getprop = commands.locate("getprop", root, path)
    if not getprop:
        return None

    def tell(key: str) -> str:
        return commands.run([getprop, key]).text.partition("\n")[0].strip()

    try:
        release, level = tell("ro.build.version.release"), tell("ro.build.version.sdk")
        maker, model = tell("ro.product.manufacturer"), tell("ro.product.model")
        chip = [tell("ro.soc.manufacturer"), tell("ro.soc.model")]
        soc = _joined(*chip) if chip[1] else tell("ro.board.platform")
    except SensorError:
        return None
    if not release:
        return None
    return Android(f"Android {release} (API {level})", _joined(maker, model), soc)


def _joined(maker: str, model: str) -> str:
    """Some models begin with their maker's name."""
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
