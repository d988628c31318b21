"""What a million samples cost, by the user's own dated prices (`prices.toml`); without them nothing has a price."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pydantic
from pydantic import BaseModel, ConfigDict, PositiveFloat

from assay.errors import UsageError
from assay.statistics import Estimate


class Prices(BaseModel):
    """Of one machine like that of the run, an hour, by the device that a case computes on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: datetime.date
    currency: str
    source: str
    per_hour: dict[str, PositiveFloat]


def load(path: Path) -> Prices | None:
    """The file, if there is one. Raises UsageError with every fault."""
    if not path.exists():
        return None
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:
        raise UsageError(
            "\n".join(f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        ) from error
    except (OSError, ValueError) as fault:
        raise UsageError(f"{path}: {fault}") from fault


def per_million(throughput: Estimate, per_hour: float) -> Estimate:
    """The price of a million samples, at samples a second: price / (3600 x throughput) x 10^6, as an interval."""

    def price(rate: float) -> float:
        return per_hour / (3600 * rate) * 1e6

    return Estimate(
        price(throughput.value),
        None if throughput.high is None else price(throughput.high),
        None if throughput.low is None else price(throughput.low),
        throughput.n,
    )
