"""Integers of any size, to and from decimal text.

CPython refuses more than 4,300 digits by default and takes quadratic time without that limit, so
long integers are split in halves, which Karatsuba multiplication makes sub-quadratic.
"""

from __future__ import annotations

MOST_DIGITS = 4300
"""What CPython reads and writes of an integer, unless somebody lifts the limit."""
_CHUNK = 4000  # digits that int() and str() take at once, below that


def read_integer(text: str) -> int:
    """Return the exact integer of a JSON number without fraction and exponent."""
    if len(text) <= _CHUNK:
        return int(text)
    negative = text.startswith("-")
    value = _read_digits(text[negative:], {})
    return -value if negative else value


def read_writable_integer(text: str) -> int:
    """Return an integer as above. ValueError for more digits than Python, and so json, writes."""
    if len(text) > MOST_DIGITS and len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"an integer of more than {MOST_DIGITS:,} digits")
    return int(text)


def write_integer(value: int) -> str:
    """Return an integer's decimal digits, whatever its size."""
    # 3.33 bits make a digit; the comparison is safe because a digit needs more than 3 bits.
    if value.bit_length() <= 3 * _CHUNK:
        return int.__repr__(value)  # a subclass may write itself otherwise
    digits = _write_digits(abs(value), {})
    return f"-{digits}" if value < 0 else digits


def _power(exponent: int, powers: dict[int, int]) -> int:
    if exponent not in powers:
        powers[exponent] = 10**exponent
    return powers[exponent]


def _read_digits(digits: str, powers: dict[int, int]) -> int:
    if len(digits) <= _CHUNK:
        return int(digits)
    low = 1 << ((len(digits) - 1).bit_length() - 1)  # the largest power of two below the length
    return _read_digits(digits[:-low], powers) * _power(low, powers) + _read_digits(
        digits[-low:], powers
    )


def _write_digits(value: int, powers: dict[int, int]) -> str:
    if value.bit_length() <= 3 * _CHUNK:
        return int.__repr__(value)
    low = 1 << ((value.bit_length() // 7).bit_length() - 1)
    high, rest = divmod(value, _power(low, powers))
    return _write_digits(high, powers) + _write_digits(rest, powers).zfill(low)
