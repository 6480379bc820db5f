from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.notify.signed import MAX_TOKEN, Claim, LinkError, sign, verify

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
UNTIL = 1_795_320_000_000
HEX = st.binary(min_size=0, max_size=16).map(bytes.hex)
IDS = HEX | st.text(st.characters(codec="utf-8"), max_size=24)
CLAIMS = st.builds(Claim, IDS, IDS, IDS, st.integers(1, 2**53))
ONE = Claim("0123456789abcdef0123", "fedcba98765432100000", "duty-day", UNTIL)


def refused(token: str, key: bytes = KEY, now: int = UNTIL - 1) -> str:
    with pytest.raises(LinkError) as caught:
        verify(key, token, now)
    assert token == "" or token not in str(caught.value)
    return caught.value.code


@given(CLAIMS)
def test_what_was_signed_is_read_again(claim: Claim) -> None:
    assert verify(KEY, sign(KEY, claim), claim.expires_at - 1) == claim


@given(CLAIMS, st.data())
def test_any_changed_character_is_refused(claim: Claim, data: st.DataObject) -> None:
    token = sign(KEY, claim)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(ALPHABET + "=+/ 字%").filter(lambda char: char != token[place]))
    assert refused(token[:place] + other + token[place + 1:], now=0) == "changed"


@given(CLAIMS, st.data())
def test_a_token_that_is_cut_or_longer_is_refused(claim: Claim, data: st.DataObject) -> None:
    token = sign(KEY, claim)
    assert refused(token[:data.draw(st.integers(0, len(token) - 1))], now=0) == "changed"
    assert refused(token + data.draw(st.text(ALPHABET + "=.\n", min_size=1, max_size=8)), now=0) == "changed"


@given(CLAIMS, st.binary(min_size=32, max_size=64).filter(lambda key: key != KEY))
def test_another_key_signs_nothing_for_this_one(claim: Claim, key: bytes) -> None:
    assert refused(sign(key, claim), now=0) == "changed"


@given(st.text(max_size=200))
def test_what_nobody_signed_is_refused(token: str) -> None:
    assert refused(token, now=0) == "changed"


def test_a_link_ends_at_its_time_and_not_before() -> None:
    token = sign(KEY, ONE)
    assert verify(KEY, token, UNTIL - 1) == ONE
    assert refused(token, now=UNTIL) == refused(token, now=UNTIL + 1) == "expired"


def test_a_changed_token_is_not_even_asked_for_its_time() -> None:
    assert refused(sign(OTHER, ONE), now=UNTIL + 1) == "changed"


def test_a_link_fits_into_a_text_message_and_into_a_path() -> None:
    token = sign(KEY, ONE)
    assert len(token) <= 80 and set(token) <= set(ALPHABET)


def test_a_flood_of_characters_is_not_decoded() -> None:
    assert refused("A" * (MAX_TOKEN + 1)) == refused("A" * 1_000_000) == "changed"


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        sign(b"short", ONE)
