"""What every part of the report document is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Frozen and strict; fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, serialize_by_alias=True)
