"""The consumer stops at a bad deployment, not at bad luck, and at the batch that shows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telestream.consumers.bad_share import LEAST, WINDOW, BadShare
from telestream.errors import BadShareError


def stops(share: BadShare, messages: int, bad: int) -> bool:
    try:
        share.check(messages, bad, "why")
    except BadShareError:
        return True
    return False


def test_a_few_bad_messages_prove_nothing() -> None:
    share = BadShare(0.1)
    assert not stops(share, LEAST - 1, LEAST - 1)
    assert stops(share, 1, 1)


def test_exactly_the_limit_is_allowed() -> None:
    assert not stops(BadShare(0.25), 1_000, 250)
    assert stops(BadShare(0.25), 1_000, 251)
    assert not stops(BadShare(1), 50_000, 50_000)
    assert stops(BadShare(0), 1_000_000, LEAST)


def test_it_says_what_it_counted_and_an_example() -> None:
    share = BadShare(0.1)
    share.check(1_000, 0, "")
    with pytest.raises(BadShareError, match=r"^1,200 of the last 3,000 messages cannot be decoded$") as caught:
        share.check(2_000, 1_200, "schema 7 is not in the registry")
    assert caught.value.detail == "That is more than 10%. The latest reason: schema 7 is not in the registry"
    assert caught.value.exit_code == 1


def test_what_is_long_ago_is_forgotten() -> None:
    share = BadShare(0.1)
    assert not stops(share, WINDOW, WINDOW // 20)
    assert not stops(share, WINDOW, WINDOW // 10)
    # Only the second one counts from now on; with the first it would be below the limit.
    assert stops(share, 1, 1)


BATCHES = st.tuples(st.integers(1, WINDOW), st.floats(0, 1)).map(lambda two: (two[0], int(two[0] * two[1] ** 3)))


@given(batches=st.lists(BATCHES, max_size=30), limit=st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0]))
def test_the_latest_batches_decide(batches: list[tuple[int, int]], limit: float) -> None:
    share = BadShare(limit)
    for number in range(1, len(batches) + 1):
        total = wrong = 0
        for messages, bad in reversed(batches[:number]):
            total, wrong = total + messages, wrong + bad
            if total >= WINDOW:
                break
        expected = wrong >= LEAST and wrong > limit * total
        assert stops(share, *batches[number - 1]) == expected


def test_several_writers_count_together() -> None:
    share = BadShare(0.5)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: stops(share, 1, 1), range(2 * LEAST))) == LEAST + 1
