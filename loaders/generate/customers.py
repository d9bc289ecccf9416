"""Changes of the customers whose numbers a spec's CDRs name: what a CRM would tell of them, in no order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from telestream.errors import UsageError
from telestream.loaders.generate.mixing import below, bits, mix, stream_key
from telestream.loaders.generate.population import PLANS, Population
from telestream.loaders.generate.spec import GenerateSpec

_SEGMENTS = ("consumer", "consumer", "consumer", "business", "youth", "premium", "consumer", "public")
_MOST_CHANGES = 4
_DUPLICATES_OF = 50
"""One in so many changes stands in the file twice."""


def customers(spec: GenerateSpec, count: int) -> pa.Table:
    """Return changes of the first `count` subscribers of a spec, one to four each.

    The last change comes before the spec's day and gives the plan that the CDRs name; before it customers had
    other plans and segments. The order is none, and some changes are there twice: the history must not depend on it.

    Raises:
        UsageError: there are not so many subscribers.
    """
    if not 1 <= count <= spec.subscribers:
        raise UsageError(f"customers must be from 1 to {spec.subscribers}, the subscribers, not {count}")
    people = Population(spec)
    index = np.arange(count, dtype=np.uint64)
    traits = mix(stream_key(spec.seed, "customer"), index)
    changes = 1 + below(_MOST_CHANGES, bits(traits, 0, 16), 16)
    customer = np.repeat(np.arange(count), changes)
    last = np.cumsum(changes) - 1
    # 0 for the last change of a customer, 1 for the one before it, …
    age = np.repeat(last, changes) - np.arange(len(customer))
    words = mix(stream_key(spec.seed, "change"), np.arange(len(customer), dtype=np.uint64))

    midnight = datetime(spec.day.year, spec.day.month, spec.day.day, tzinfo=UTC)
    minutes = 60 * 24 * (10 + 200 * age) + below(60 * 24 * 180, bits(words, 0, 30), 30)
    plan = np.where(age == 0, people.plan_of[customer], below(len(PLANS), bits(words, 30, 16), 16))
    segment = bits(words, 46, 3)
    region = people.region_of_cell[people.home_of[customer]]
    texts = people.texts
    table = pa.table(
        {
            "customer_id": [f"C{number:08d}" for number in customer.tolist()],
            "changed_at": [(midnight - timedelta(minutes=value)).isoformat() for value in minutes.tolist()],
            "msisdn": texts["caller"][customer].astype(str).tolist(),
            "plan_code": texts["plan_code"][plan].astype(str).tolist(),
            "region_code": texts["region_code"][region].astype(str).tolist(),
            "segment": [_SEGMENTS[value] for value in segment.tolist()],
            "status": ["active"] * len(customer),
            "birth_year": (1940 + below(68, bits(traits, 16, 16), 16))[customer],
        }
    )
    order = np.argsort(mix(stream_key(spec.seed, "arrival"), np.arange(len(customer), dtype=np.uint64)))
    return table.take(np.concatenate([order, order[::_DUPLICATES_OF]]))
