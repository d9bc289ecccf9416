"""Who and what the records are about: regions, cells, plans, subscribers, numbers outside the network."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from telestream.loaders.generate import archetypes
from telestream.loaders.generate.mixing import I32, I64, U64, Quantiles, below, bits, mix, stream_key
from telestream.loaders.generate.spec import GenerateSpec

Text = npt.NDArray[np.bytes_]

COUNTRY = ("GB", "United Kingdom")
HOME_NETWORK = "234-15"
HOME_IMSI = "23415"
HOME_PREFIX = "+4479"


class _Region(NamedTuple):
    code: str
    name: str
    latitude: float
    longitude: float
    weight: int
    """Share of the cells, by population, in parts of the sum."""


# ISO 3166-2 codes below GB; centres to a tenth of a degree.
_REGIONS = (
    _Region("GB-LND", "London", 51.5, -0.1, 230),
    _Region("GB-BIR", "Birmingham", 52.5, -1.9, 90),
    _Region("GB-MAN", "Manchester", 53.5, -2.2, 90),
    _Region("GB-LDS", "Leeds", 53.8, -1.5, 65),
    _Region("GB-GLG", "Glasgow", 55.9, -4.3, 60),
    _Region("GB-LIV", "Liverpool", 53.4, -3.0, 50),
    _Region("GB-SHF", "Sheffield", 53.4, -1.5, 45),
    _Region("GB-EDH", "Edinburgh", 55.9, -3.2, 45),
    _Region("GB-BST", "Bristol", 51.5, -2.6, 45),
    _Region("GB-CRF", "Cardiff", 51.5, -3.2, 35),
    _Region("GB-BFS", "Belfast", 54.6, -5.9, 35),
    _Region("GB-NET", "Newcastle upon Tyne", 55.0, -1.6, 35),
    _Region("GB-KEN", "Kent", 51.2, 0.7, 40),
    _Region("GB-HAM", "Hampshire", 51.1, -1.3, 40),
    _Region("GB-DEV", "Devon", 50.7, -3.8, 25),
    _Region("GB-NFK", "Norfolk", 52.7, 0.9, 20),
    _Region("GB-ABE", "Aberdeen", 57.1, -2.1, 15),
    _Region("GB-HLD", "Highland", 57.4, -4.7, 10),
)
_CELL_SCATTER = 0.4
"""Cells lie within this many degrees of the centre of their region, most of them far nearer."""
_SECTORS = 3
_TECHNOLOGIES = (("4g", 60), ("5g", 25), ("3g", 10), ("2g", 5))


class Plan(NamedTuple):
    """A service plan; prices in ten-thousandths of a pound, so that they multiply exactly."""

    code: str
    name: str
    monthly_fee: int
    voice_minute: int
    sms: int
    mms: int
    data_megabyte: int
    share: int
    """Subscribers on it, in percent."""


PLANS = (
    Plan("PAYG", "Pay as you go", 0, 1_000, 800, 4_000, 100, 22),
    Plan("ECO5", "Eco 5 GB", 80_000, 500, 400, 3_000, 20, 18),
    Plan("FLEX20", "Flex 20 GB", 140_000, 0, 0, 2_500, 5, 27),
    Plan("MAX50", "Max 50 GB", 200_000, 0, 0, 0, 2, 15),
    Plan("UNLIM", "Unlimited", 300_000, 0, 0, 0, 0, 13),
    Plan("IOT", "Things", 15_000, 1_000, 500, 4_000, 50, 5),
)
IOT_PLAN = 5

# Type allocation codes, the first eight digits of an IMEI.
_TACS = (
    "35693803", "35332811", "35917209", "35407115", "86412503", "86891004",
    "35284611", "35785310", "86735205", "35156607", "35299209", "01326300",
)  # fmt: skip
_EXTERNAL_NUMBERS = 20_000
_FOREIGN_PREFIXES = (("+33", 9), ("+353", 9), ("+49", 10), ("+34", 9), ("+48", 9), ("+91", 10), ("+1", 10))
_GEOGRAPHIC_PREFIXES = ("+4420", "+44121", "+44161", "+44131", "+44117", "+4429")
_SERVICE_CODES = ("*100#", "*111#", "*#21#", "*#06#")
_NORMAL_NUMBER_LENGTH = 13


def _weighted(weights: tuple[int, ...], slots: int) -> I32:
    """Return `slots` indexes into `weights`, each as often as its weight says, in order."""
    total = np.cumsum(np.array(weights, dtype=np.int64))
    middles = (2 * np.arange(slots, dtype=np.int64) + 1) * total[-1] // (2 * slots)
    slots_of: I32 = np.searchsorted(total, middles, side="right").astype(np.int32)
    return slots_of


def zipf(size: int) -> Quantiles:
    """Return ranks 0 … size - 1 in 256ths, the first ones by far the most frequent (Zipf-Mandelbrot, 0.8)."""
    shift = max(1.0, size / 1_000)
    low, high = shift**0.2, (size + shift) ** 0.2
    return Quantiles(lambda p: min((low + p * (high - low)) ** 5 - shift, size - 0.01) * 256)


def _digits(values: I64, width: int) -> npt.NDArray[np.uint8]:
    """Return decimal digits as ASCII, one row of `width` a value, with leading zeros."""
    text = np.empty((len(values), width), dtype=np.uint8)
    rest = values.copy()
    for column in range(width - 1, -1, -1):
        text[:, column] = rest % 10 + 48
        rest //= 10
    return text


def _joined(prefix: str, digits: npt.NDArray[np.uint8]) -> Text:
    head = np.broadcast_to(np.frombuffer(prefix.encode(), dtype=np.uint8), (len(digits), len(prefix)))
    whole = np.ascontiguousarray(np.hstack([head, digits]))
    return whole.view(f"S{whole.shape[1]}").ravel()


def _scattered(index: I64, size: int, key: int) -> I64:
    """Return distinct numbers below `size`, a power of ten, in a disorder that the key decides."""
    # A multiplier that ends in 7 has no factor in common with a power of ten; below 10**8 the product fits.
    factor = key % min(size, 10**8) // 10 * 10 + 7
    return (index * factor + key % size) % size


def _imeis(index: I64, key: int) -> Text:
    tacs = np.array([[int(digit) for digit in tac] for tac in _TACS], dtype=np.uint8)
    serial = _digits(_scattered(index // len(_TACS), 10**6, key), 6) - 48
    body = np.hstack([tacs[index % len(_TACS)], serial])
    # 3GPP TS 23.003 annex B: the Luhn digit doubles every second digit from the left.
    doubled = body.astype(np.int64)
    doubled[:, 1::2] *= 2
    checksum = (doubled // 10 + doubled % 10).sum(axis=1)
    whole = np.hstack([body, ((-checksum) % 10).astype(np.uint8)[:, None]]) + 48
    return np.ascontiguousarray(whole).view("S15").ravel()


def _external_numbers(key: int) -> list[str]:
    words = mix(key, np.arange(_EXTERNAL_NUMBERS, dtype=np.uint64)).tolist()
    numbers = []
    for word in words:
        kind, which, tail = word % 100, word // 100 % 1_000, word // 100_000
        if kind < 20:
            prefix, length = "+4477", 8
        elif kind < 37:
            prefix, length = _FOREIGN_PREFIXES[which % len(_FOREIGN_PREFIXES)]
        elif kind < 40:
            prefix, length = "+44800", 7
        else:
            prefix = _GEOGRAPHIC_PREFIXES[which % len(_GEOGRAPHIC_PREFIXES)]
            length = _NORMAL_NUMBER_LENGTH - len(prefix)
        numbers.append(f"{prefix}{tail % 10**length:0{length}d}")
    return numbers


def regions() -> pa.Table:
    """Return the regions as a table: `region_code`, `name`, `parent_code` (null for the country)."""
    return pa.table(
        {
            "region_code": [COUNTRY[0], *(region.code for region in _REGIONS)],
            "name": [COUNTRY[1], *(region.name for region in _REGIONS)],
            "parent_code": pa.array([None, *(COUNTRY[0] for _ in _REGIONS)], pa.string()),
        }
    )


def plans() -> pa.Table:
    """Return the plans as a table: code, name, monthly fee and prices as decimals, currency."""

    def pounds(values: list[int]) -> pa.Array:
        return pa.array([Decimal(value).scaleb(-4) for value in values], pa.decimal128(12, 4))

    return pa.table(
        {
            "plan_code": [plan.code for plan in PLANS],
            "name": [plan.name for plan in PLANS],
            "monthly_fee": pounds([plan.monthly_fee for plan in PLANS]),
            "voice_minute_price": pounds([plan.voice_minute for plan in PLANS]),
            "sms_price": pounds([plan.sms for plan in PLANS]),
            "mms_price": pounds([plan.mms for plan in PLANS]),
            "data_megabyte_price": pounds([plan.data_megabyte for plan in PLANS]),
            "currency": ["GBP" for _ in PLANS],
        }
    )


@dataclass(frozen=True)
class Cells:
    """The cells of the network, one entry each in every array."""

    cell_id: Text
    name: list[str]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    region: I32
    technology: I32
    weight: I64
    """Relative traffic."""


def make_cells(count: int, seed: int) -> Cells:
    """Make the cells of a seed: sites of three sectors in the regions, with heavy-tailed traffic."""
    index = np.arange(count, dtype=np.uint64)
    site = (index // _SECTORS).astype(np.int64)
    sector = (index % _SECTORS).astype(np.int64)
    of_site = mix(stream_key(seed, "site"), site.astype(np.uint64))
    of_cell = mix(stream_key(seed, "cell"), index)

    region = _weighted(tuple(r.weight for r in _REGIONS), 1 << 16)[bits(of_site, 0, 16)]
    technology = _weighted(tuple(weight for _, weight in _TECHNOLOGIES), 1 << 10)[bits(of_cell, 0, 10)]
    # Base stations of different seeds have different numbers, so that their files can be loaded together.
    # An odd multiplier keeps the numbers of one seed distinct.
    key = stream_key(seed, "base station")
    station = (site * (key % 2**20 | 1) + key % 2**20) % 2**20
    eci = station * 256 + sector + 1

    def scatter(word: U64) -> npt.NDArray[np.float64]:
        # The sum of four uniform numbers is close to a normal one, and needs no libm.
        total = bits(word, 0, 16) + bits(word, 16, 16) + bits(word, 32, 16) + bits(word, 48, 16)
        return (total - 2 * 65_535) / (2 * 65_535) * _CELL_SCATTER

    centres = np.array([(r.latitude, r.longitude) for r in _REGIONS])[region]
    latitude = centres[:, 0] + scatter(mix(stream_key(seed, "latitude"), site.astype(np.uint64)))
    longitude = centres[:, 1] + scatter(mix(stream_key(seed, "longitude"), site.astype(np.uint64)))
    return Cells(
        cell_id=np.array([f"{HOME_NETWORK}-{value}".encode() for value in eci.tolist()]),
        name=[
            f"{_REGIONS[r].name} {s:05d}-{k}"
            for r, s, k in zip(region.tolist(), site.tolist(), (sector + 1).tolist(), strict=True)
        ],
        latitude=np.round(latitude, 6),
        longitude=np.round(longitude, 6),
        region=region,
        technology=technology,
        weight=Quantiles.lognormal(1_000, 1.1, 10, 100_000).sample(bits(of_cell, 32, 32)),
    )


def _by_hour(made: Cells, spec: GenerateSpec, slot_bits: int) -> I32:
    """Return the cells of the slots in each hour of the day of a spec, shape (24, slots)."""
    drawn = archetypes.weights(archetypes.of_cells(spec.cells, spec.seed), spec.day) * made.weight
    return np.stack([_weighted(tuple(hour.tolist()), 1 << slot_bits) for hour in drawn])


def cells(spec: GenerateSpec) -> pa.Table:
    """Return the cells of a spec: cell_id, name, latitude, longitude, region_code, technology, weight; archetype."""
    made = make_cells(spec.cells, spec.seed)
    table = pa.table(
        {
            "cell_id": pa.array(made.cell_id.tolist(), pa.binary()).cast(pa.string()),
            "name": made.name,
            "latitude": made.latitude,
            "longitude": made.longitude,
            "region_code": [_REGIONS[region].code for region in made.region.tolist()],
            "technology": [_TECHNOLOGIES[code][0] for code in made.technology.tolist()],
            "weight": made.weight,
        }
    )
    if not spec.archetypes:
        return table
    kinds = archetypes.of_cells(spec.cells, spec.seed).tolist()
    return table.append_column("archetype", pa.array([archetypes.NAMES[kind] for kind in kinds]))


class Population:
    """Everything a record can point to: texts by column, and what follows from a subscriber or a cell.

    It depends on the seed, the number of cells and the number of subscribers, not on the day: the same people
    appear on every day of a seed. With archetypes the day decides where they are in which hour.
    """

    def __init__(self, spec: GenerateSpec) -> None:
        index = np.arange(spec.subscribers, dtype=np.int64)
        traits = mix(stream_key(spec.seed, "subscriber"), index.astype(np.uint64))
        made = make_cells(spec.cells, spec.seed)
        # The curves of archetypes go down to hundredths, which need finer slots.
        slot_bits = max(16, (16 * spec.cells - 1).bit_length()) + (2 if spec.archetypes else 0)

        self.subscribers = spec.subscribers
        self._is_settled = spec.settled
        self._subscriber_rank = zipf(spec.subscribers)
        self._external_rank = zipf(_EXTERNAL_NUMBERS)
        self._first_external = spec.subscribers
        self._first_service = spec.subscribers + _EXTERNAL_NUMBERS
        self.plan_of = _weighted(tuple(plan.share for plan in PLANS), 1 << 10)[bits(traits, 0, 10)]
        self.slot_bits = slot_bits
        self.cell_of_slot = _weighted(tuple(made.weight.tolist()), 1 << slot_bits)
        self._cell_of_slot_and_hour = _by_hour(made, spec, slot_bits) if spec.archetypes else None
        self.home_of = self.cell_of_slot[bits(traits, 32, slot_bits)]
        self.region_of_cell = made.region
        self.technology_of_cell = made.technology

        own = _joined(HOME_PREFIX, _digits(_scattered(index, 10**8, stream_key(spec.seed, "msisdn")), 8))
        others = np.array([*_external_numbers(stream_key(spec.seed, "external")), *_SERVICE_CODES], dtype="S")
        numbers = np.concatenate([own, others])
        self.texts: dict[str, Text] = {
            "caller": numbers,
            "called": numbers,
            "imsi": _joined(HOME_IMSI, _digits(_scattered(index, 10**10, stream_key(spec.seed, "imsi")), 10)),
            "imei": _imeis(index, stream_key(spec.seed, "imei")),
            "cell_id": made.cell_id,
            "region_code": np.array([region.code.encode() for region in _REGIONS]),
            "technology": np.array([name.encode() for name, _ in _TECHNOLOGIES]),
            "plan_code": np.array([plan.code.encode() for plan in PLANS]),
        }
        self.voice_minute = np.array([plan.voice_minute for plan in PLANS])
        self.sms = np.array([plan.sms for plan in PLANS])
        self.mms = np.array([plan.mms for plan in PLANS])
        self.data_megabyte = np.array([plan.data_megabyte for plan in PLANS])

    def cell(self, own: I32, at_home: npt.NDArray[np.bool_], random: I64, minute: I64) -> I32:
        """Return the cells of rows: half at home, half where there is much traffic; with archetypes by the hour."""
        if self._is_settled:
            site = self.home_of[own] // _SECTORS * _SECTORS
            cell: I32 = np.minimum(site + (random % _SECTORS).astype(np.int32), len(self.region_of_cell) - 1)
            return cell
        if self._cell_of_slot_and_hour is not None:
            return self._cell_of_slot_and_hour[minute // 60, random]
        return np.where(at_home, self.home_of[own], self.cell_of_slot[random])

    def subscriber(self, random: I64) -> I64:
        """Return a subscriber by activity for each 32 random bits."""
        return self._subscriber_rank.sample(random) >> 8

    def external(self, random: I64) -> I64:
        """Return the number code of a number outside the network for each 32 random bits."""
        return (self._external_rank.sample(random) >> 8) + self._first_external

    def service(self, random: I64) -> I64:
        """Return the number code of a service such as *100# for each 32 random bits."""
        return self._first_service + below(len(_SERVICE_CODES), random, 32)
