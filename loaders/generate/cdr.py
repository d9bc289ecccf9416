"""Makes any stretch of generated CDRs, with the planted defects that a column can show."""

from __future__ import annotations

import numpy as np

from telestream.loaders.generate import defects
from telestream.loaders.generate.block import ABSENT, CODED, NONE, NUMBERS, TIMES, Block, uuid_halves
from telestream.loaders.generate.defects import BadKind, DefectPlan, Placement
from telestream.loaders.generate.mixing import I32, I64, U64, Quantiles, below, bits, mix, stream_key
from telestream.loaders.generate.population import IOT_PLAN, Population, Text
from telestream.loaders.generate.spec import GenerateSpec
from telestream.loaders.generate.timeline import (
    DATA,
    MMS,
    OTHER,
    RECORD_TYPES,
    SMS,
    VOICE,
    Timeline,
    day_in_2036,
    epoch_seconds,
)

_UNKNOWN_TYPE = len(RECORD_TYPES)
_SOURCES = ("msc-01", "msc-02", "pgw-01")
_PGW = 2
_DIRECTIONS = ("mo", "mt")
_MO, _MT = range(2)
# Mobile originated rows in 256ths, in the order of RECORD_TYPES (data has no direction).
_MO_SHARE = np.array((141, 102, 128, 0, 256))
_INTERNAL_SHARE = round(0.6 * 2**16)
_AT_HOME_SHARE = 128
_ROAMING_SHARE = round(0.01 * 2**16)

_DISPOSITIONS = ("answered", "no_answer", "busy", "failed", "congestion", "dropped")
_ANSWERED, _NO_ANSWER, _BUSY, _FAILED, _CONGESTION, _DROPPED = range(6)
# ITU-T Q.850 names in the order of the dispositions, then 3GPP TS 32.298 ones for data, then messages.
_CAUSES = (
    "NORMAL_CLEARING", "NO_ANSWER", "USER_BUSY", "NORMAL_TEMPORARY_FAILURE", "SWITCH_CONGESTION",
    "RECOVERY_ON_TIMER_EXPIRE",
    "normalRelease", "timeLimit", "volumeLimit", "abnormalRelease",
    "delivered", "undelivered",
)  # fmt: skip
_FIRST_DATA_CAUSE, _DELIVERED, _UNDELIVERED = 6, 10, 11
_APNS = ("internet", "ims", "wap", "iot", "mms")
_IOT_APN, _MMS_APN = 3, 4


def _slots(*shares: int) -> I32:
    """Return each index as often as its share says; the shares sum to 256."""
    return np.repeat(np.arange(len(shares), dtype=np.int32), shares)


_DISPOSITION_OF = _slots(158, 46, 22, 13, 7, 10)
_DATA_CAUSE_OF = _slots(210, 20, 18, 8) + np.int32(_FIRST_DATA_CAUSE)
_APN_OF = _slots(200, 40, 16)
_UNDELIVERED_SHARE = 8

_TALK_S = Quantiles.lognormal(75, 1.1, 1, 4 * 3_600)
_SESSION_S = Quantiles.lognormal(300, 1.2, 1, 6 * 3_600)
_BYTES_DOWN = Quantiles.lognormal(1_500_000, 2.2, 64, 50_000_000_000)
_MMS_BYTES = (20_000, 600_000)

_DISAGREE_S = 600
"""A duration that disagrees does so by more than this."""

_ROW_WORDS = 5


class Maker:
    """Makes the blocks of one spec; threads may share it."""

    def __init__(self, spec: GenerateSpec) -> None:
        self._population = Population(spec)
        self._timeline = Timeline(spec.rows, spec.day, spec.seed)
        self._plan = DefectPlan(spec)
        self._row_keys = [stream_key(spec.seed, spec.day, "row", number) for number in range(_ROW_WORDS)]
        self._high_key = stream_key(spec.seed, spec.day, "native_key", "high")
        self._low_key = stream_key(spec.seed, spec.day, "native_key", "low")
        self._size_key = stream_key(spec.seed, spec.day, "size of a defect")
        self._to_2036 = epoch_seconds(day_in_2036(spec.day)) - epoch_seconds(spec.day)
        self.texts: dict[str, Text] = {
            **self._population.texts,
            "source_system": np.array(_SOURCES, dtype="S"),
            "record_type": np.array((*RECORD_TYPES, "fax"), dtype="S"),
            "direction": np.array(_DIRECTIONS, dtype="S"),
            "disposition": np.array(_DISPOSITIONS, dtype="S"),
            "cause": np.array(_CAUSES, dtype="S"),
            "apn": np.array(_APNS, dtype="S"),
        }

    def block(self, first: int, rows: int) -> Block:
        """Make the rows first … first + rows - 1 of the file."""
        identity = np.arange(first, first + rows, dtype=np.int64)
        placement = self._plan.within(first, rows)
        for kind in (defects.DUPLICATE_NEAR, defects.DUPLICATE_FAR):
            at = placement.of(kind)
            identity[at] = self._plan.sources(first + at, far=kind == defects.DUPLICATE_FAR)

        index = identity.view(np.uint64)
        words = [mix(key, index) for key in self._row_keys]
        since_midnight, minute = self._timeline.at(identity, bits(words[0], 0, 16))
        second = since_midnight // 1_000
        block = Block(
            first=first,
            placement=self._without_room(placement, second),
            good=np.ones(rows, dtype=np.bool_),
            record_type=self._timeline.record_type(minute, words[0], 16),
            codes={name: np.full(rows, NONE, dtype=np.int32) for name in CODED},
            key=uuid_halves(mix(self._high_key, index), mix(self._low_key, index)),
            key_missing=np.empty(0, dtype=np.int64),
            millisecond=since_midnight - second * 1_000,
            times={name: np.full(rows, ABSENT, dtype=np.int64) for name in TIMES},
            numbers={name: np.full(rows, ABSENT, dtype=np.int64) for name in NUMBERS},
            charge=np.zeros(rows, dtype=np.int64),
            roaming=bits(words[2], 29, 16) < _ROAMING_SHARE,
        )
        block.good[block.placement.not_loaded] = False
        _give_session(block)
        self._move_late(block, second)
        block.times["started_at"] = second + self._timeline.first_second
        self._place(block, words, minute)
        self._voice(block, words)
        self._data(block, words)
        self._messages(block, words)
        self._spoil(block)
        return block

    def _sizes(self, block: Block, offset: I64) -> I64:
        return bits(mix(self._size_key, (block.first + offset).view(np.uint64)), 0, 62)

    @staticmethod
    def _without_room(placement: Placement, second: I64) -> Placement:
        """Let rows of the first hour, which cannot be late on their own day, be late from before it."""
        kind = placement.kind.copy()
        early = second[placement.offset] < defects.LATE_SECONDS
        kind[early & (kind == defects.LATE_SAME_DAY)] = defects.LATE_BEFORE_DAY
        return Placement(placement.offset, kind)

    def _move_late(self, block: Block, second: I64) -> None:
        at = block.placement.of(defects.LATE_SAME_DAY)
        second[at] = self._sizes(block, at) % (second[at] - defects.LATE_SECONDS + 1)
        at = block.placement.of(defects.LATE_BEFORE_DAY)
        before = defects.BEFORE_DAY_HOURS * 3_600
        second[at] = self._sizes(block, at) % (before - defects.LATE_SECONDS) - before

    def _place(self, block: Block, words: list[U64], minute: I64) -> None:
        """Fill in who, with whom, where and through which switch."""
        people, codes, kind = self._population, block.codes, block.record_type
        own = people.subscriber(bits(words[0], 32, 32)).astype(np.int32)
        at_home = bits(words[2], 21, 8) < _AT_HOME_SHARE
        cell = people.cell(own, at_home, bits(words[2], 0, people.slot_bits), minute)
        codes["record_type"] = kind
        codes["source_system"] = np.where((kind == DATA) | (kind == MMS), np.int32(_PGW), cell & np.int32(1))
        codes["imsi"] = codes["imei"] = own
        codes["plan_code"] = people.plan_of[own]
        codes["cell_id"] = cell
        codes["region_code"] = people.region_of_cell[cell]
        codes["technology"] = people.technology_of_cell[cell]

        at = np.flatnonzero(kind != DATA)
        originated = bits(words[1], 48, 8)[at] < _MO_SHARE[kind[at]]
        other = self._other_party(own[at], words[1][at])
        services = np.flatnonzero(kind[at] == OTHER)
        other[services] = people.service(bits(words[1], 0, 32)[at[services]])
        codes["direction"][at] = np.where(originated, np.int32(_MO), np.int32(_MT))
        codes["caller"] = own.copy()
        codes["caller"][at] = np.where(originated, own[at], other)
        codes["called"][at] = np.where(originated, other, own[at])

    def _other_party(self, own: I32, word: U64) -> I32:
        random = bits(word, 0, 32)
        inside = self._population.subscriber(random)
        inside = np.where(inside == own, (inside + 1) % self._population.subscribers, inside)
        outside = self._population.external(random)
        return np.where(bits(word, 32, 16) < _INTERNAL_SHARE, inside, outside).astype(np.int32)

    def _voice(self, block: Block, words: list[U64]) -> None:
        at = np.flatnonzero(block.record_type == VOICE)
        disposition = _DISPOSITION_OF[bits(words[1], 56, 8)[at]]
        random = bits(words[3], 32, 16)[at]
        talk = _TALK_S.sample(bits(words[3], 0, 32)[at])
        talk = np.where(disposition == _DROPPED, talk // 2 + 1, talk)
        answered = (disposition == _ANSWERED) | (disposition == _DROPPED)
        wait = np.where(answered, 2 + below(28, random, 16), below(5, random, 16))
        wait = np.where(disposition == _NO_ANSWER, 15 + below(30, random, 16), wait)
        billed = np.where(answered, talk, 0)
        started = block.times["started_at"][at]
        block.times["answered_at"][at] = np.where(answered, started + wait, ABSENT)
        block.times["ended_at"][at] = started + wait + billed
        block.numbers["duration_s"][at] = wait + billed
        block.numbers["billed_s"][at] = billed
        block.codes["disposition"][at] = disposition
        block.codes["cause"][at] = disposition
        # A started second counts; the called party pays nothing.
        price = self._population.voice_minute[block.codes["plan_code"][at]]
        block.charge[at] = np.where(block.codes["direction"][at] == _MO, (billed * price + 59) // 60, 0)

    def _data(self, block: Block, words: list[U64]) -> None:
        at = np.flatnonzero(block.record_type == DATA)
        duration = _SESSION_S.sample(bits(words[3], 0, 32)[at])
        down = _BYTES_DOWN.sample(bits(words[4], 0, 32)[at])
        up = (down * (1 + bits(words[3], 48, 6)[at])) >> 8
        plan = block.codes["plan_code"][at]
        block.times["ended_at"][at] = block.times["started_at"][at] + duration
        block.numbers["duration_s"][at] = duration
        block.numbers["bytes_up"][at] = up
        block.numbers["bytes_down"][at] = down
        block.codes["cause"][at] = _DATA_CAUSE_OF[bits(words[2], 45, 8)[at]]
        apn = _APN_OF[bits(words[2], 53, 8)[at]]
        block.codes["apn"][at] = np.where(plan == IOT_PLAN, np.int32(_IOT_APN), apn)
        block.charge[at] = (down + up) * self._population.data_megabyte[plan] // 1_000_000

    def _messages(self, block: Block, words: list[U64]) -> None:
        for kind, prices in ((SMS, self._population.sms), (MMS, self._population.mms)):
            at = np.flatnonzero(block.record_type == kind)
            failed = bits(words[1], 56, 8)[at] < _UNDELIVERED_SHARE
            sent = block.codes["direction"][at] == _MO
            block.codes["disposition"][at] = np.where(failed, np.int32(_FAILED), np.int32(_ANSWERED))
            block.codes["cause"][at] = np.where(failed, np.int32(_UNDELIVERED), np.int32(_DELIVERED))
            block.charge[at] = np.where(sent & ~failed, prices[block.codes["plan_code"][at]], 0)
            if kind == MMS:
                low, high = _MMS_BYTES
                size = low + below(high - low, bits(words[4], 0, 32)[at], 32)
                block.codes["apn"][at] = _MMS_APN
                block.numbers["bytes_up"][at] = np.where(sent, size, 0)
                block.numbers["bytes_down"][at] = np.where(sent, 0, size)

    def _spoil(self, block: Block) -> None:
        """Make each bad row bad in its one way, as far as a column can show it."""
        bad, times, numbers = block.placement.bad, block.times, block.numbers
        block.key_missing = bad(BadKind.MISSING_KEY)
        block.codes["record_type"] = block.codes["record_type"].copy()
        block.codes["record_type"][bad(BadKind.UNKNOWN_RECORD_TYPE)] = _UNKNOWN_TYPE

        at = bad(BadKind.ENDED_BEFORE_STARTED)
        times["ended_at"][at] = times["started_at"][at] - 1 - self._sizes(block, at) % _DISAGREE_S
        numbers["duration_s"][at] = ABSENT

        at = bad(BadKind.DURATION_DISAGREES)
        numbers["duration_s"][at] += _DISAGREE_S + 1 + self._sizes(block, at) % 3_600

        at = bad(BadKind.NEGATIVE_BYTES)
        numbers["bytes_up"][at] = -1 - numbers["bytes_up"][at]

        at = bad(BadKind.NEGATIVE_CHARGE)
        block.charge[at] = -1 - block.charge[at]

        at = bad(BadKind.YEAR_2036)
        for name in TIMES:
            moved = at[times[name][at] != ABSENT]
            times[name][moved] += self._to_2036


def _give_session(block: Block) -> None:
    """Turn rows into data sessions where their defect needs a duration or bytes."""
    for kind in (BadKind.ENDED_BEFORE_STARTED, BadKind.DURATION_DISAGREES, BadKind.NEGATIVE_BYTES):
        block.record_type[block.placement.bad(kind)] = DATA
