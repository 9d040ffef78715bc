# ruff: noqa: PLR2004 - the numbers here are hours and days
"""Dates in words, and what they mean on a given day.

How each phrase is read is told in README.md; `dates_relative_to` leaves out whatever could be
read in two ways on that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

# A day in words: as an adverb, as a noun phrase if it has one, and the day meant.
Day = tuple[str, str | None, datetime]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SUNDAY = 6
MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
]
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}


@dataclass(frozen=True)
class When:
    """A point in time in words: `adverb` goes with a verb, `noun` follows "for" or a label."""

    adverb: str
    noun: str | None
    moment: datetime
    relative: bool


@dataclass(frozen=True)
class Clock:
    """A time of day; a verbose one ("7 in the evening") cannot stand before its day."""

    text: str
    hour: int
    minute: int
    verbose: bool = False

    def on(self, day: datetime) -> datetime:
        """Return this time on that day."""
        return day.replace(hour=self.hour, minute=self.minute, second=0)


def ordinal(number: int) -> str:
    """Return 1st for 1, 2nd for 2, 11th for 11."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def draw_clock(rng: random.Random) -> Clock:
    """Return a time from 7 am to 9:55 pm that can be read in one way only."""
    hour, minute = rng.randint(7, 21), rng.choice([0, 0, 0, 0, 30, 30, 15, 45, 5, 10, 20, 40, 50])
    twelve, half = (hour - 1) % 12 + 1, "am" if hour <= 11 else "pm"
    part = "morning" if hour <= 11 else "afternoon" if hour <= 17 else "evening"
    style = rng.choice(["12", "12", "12", "24", "24", "words"])
    if (hour, minute) == (12, 0):
        return Clock("noon", hour, minute)
    # 10:30 alone might be meant in twelve hours; 09:30 and 13:30 are not.
    if style == "24" and (hour <= 9 or hour >= 13):
        return Clock(f"{hour:02}:{minute:02}", hour, minute)
    if style == "words" and hour != 12 and minute in {0, 30}:
        text = f"half past {twelve}" if minute else rng.choice([f"{twelve}", f"{twelve} o'clock"])
        return Clock(f"{text} in the {part}", hour, minute, verbose=True)
    text = f"{twelve}:{minute:02}" if minute or rng.random() < 0.2 else str(twelve)
    return Clock(text + rng.choice([" ", " ", ""]) + half, hour, minute)


def month_day(rng: random.Random, day: datetime) -> str:
    """Return a date without its year."""
    month = MONTHS[day.month - 1]
    return rng.choice([
        f"{month} {day.day}", f"{month} {ordinal(day.day)}", f"{day.day} {month}",
        f"the {ordinal(day.day)} of {month}",
    ])  # fmt: skip


def absolute(rng: random.Random, now: datetime) -> When:
    """Return a moment given with its year."""
    day = now + timedelta(days=rng.randint(1, 400))
    clock = draw_clock(rng)
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    text = rng.choice([
        f"{month} {day.day} {day.year}", f"{month} {day.day}, {day.year}",
        f"{month} {ordinal(day.day)}, {day.year}", f"{day.day} {month} {day.year}",
        f"{day.day} {month[:3]} {day.year}", f"the {ordinal(day.day)} of {month} {day.year}",
        f"{weekday}, {month} {day.day}, {day.year}", f"{weekday} {day.day} {month} {day.year}",
        f"{day.date()}", f"{day.date()}",
    ])  # fmt: skip
    adverb, noun = f"on {text} at {clock.text}", f"{text} at {clock.text}"
    if not clock.verbose and rng.random() < 0.25:
        adverb, noun = f"at {clock.text} on {text}", f"{clock.text} on {text}"
    elif ":" in clock.text and clock.text[-1].isdigit() and rng.random() < 0.6:
        noun = f"{text} {clock.text}" if text[:4].isdigit() else f"{text}, {clock.text}"
    return When(adverb, noun, clock.on(day), relative=False)


def dates_relative_to(now: datetime) -> dict[str, list[Day]]:
    """Return the ways to name a day, by kind: (adverb, noun or None, day).

    Only those on whose reading everybody agrees today: no "next Friday" said on a Wednesday,
    no "next" or "this" across a Sunday, where weeks begin on different days.
    """
    today = now.weekday()

    def after(days: int) -> datetime:
        return now + timedelta(days=days)

    kinds: dict[str, list[Day]] = {
        "tomorrow": [("tomorrow", "tomorrow", after(1))] * 2,
        "day after": [("the day after tomorrow", "the day after tomorrow", after(2))],
        "in days": [
            (text, None, after(n))
            for n, word in NUMBERS.items()
            for text in (f"in {n} days", f"in {word} days", f"{word} days from now")
        ],
        "weeks": [
            ("a week from today", "a week from today", after(7)),
            ("a week from tomorrow", "a week from tomorrow", after(8)),
            ("two weeks from today", "two weeks from today", after(14)),
            (f"in two weeks on {WEEKDAYS[today]}", None, after(14)),
            ("in two weeks", None, after(14)),
            ("in three weeks", None, after(21)),
        ],
    }
    coming = [(WEEKDAYS[after(gap).weekday()], gap) for gap in range(1, 8)]
    kinds["weekday"] = [(f"on {name}", name, after(gap)) for name, gap in coming[:6]]
    if today != SUNDAY:
        kinds["this weekday"] = [
            (f"this {name}", f"this {name}", after(gap))
            for name, gap in coming[1:]
            if today + gap <= SUNDAY
        ]
        kinds["next weekday"] = [
            (f"next {name}", f"next {name}", after(gap))
            for name, gap in coming[3:]
            if today + gap > SUNDAY and name != "Sunday"
        ]
        kinds["of next week"] = [
            (f"on {name} of next week", f"{name} of next week", after(7 - today + index))
            for index, name in enumerate(WEEKDAYS[:SUNDAY])
        ]
    this_month = [after(gap) for gap in range(2, 29) if after(gap).month == now.month]
    kinds["day of month"] = [
        (f"on the {ordinal(day.day)}", f"the {ordinal(day.day)}", day) for day in this_month
    ]
    first = (now.replace(day=28) + timedelta(days=4)).replace(day=1)
    kinds["next month"] = [
        (f"on the {name} of next month", f"the {name} of next month", first.replace(day=n))
        for n, name in ((n, ordinal(n)) for n in range(1, 29))
    ]
    return {kind: days for kind, days in kinds.items() if days}


def later_today(rng: random.Random, now: datetime) -> When:
    """Return a moment of the same day; `now` must be before 6 pm."""
    forms = ["today"] * 2 + ["tonight"] * 2 + ["this evening"] * (now.hour < 16)
    form = rng.choice(forms + ["this afternoon"] * (now.hour < 12))
    clock = draw_clock(rng)
    while form == "today" and clock.on(now) < now + timedelta(minutes=30):
        clock = draw_clock(rng)
    if form != "today":
        low, high = {"tonight": (7, 10), "this evening": (6, 8)}.get(form, (1, 5))
        hour, minute = rng.randint(low, high), rng.choice([0, 0, 30, 15])
        clock = Clock(
            f"{hour}:{minute:02}" if minute else str(hour), hour + 12, minute, verbose=True
        )
    return join(rng, (form, form, now), clock)


def join(rng: random.Random, day: Day, clock: Clock) -> When:
    """Return day and time in either order."""
    adverb, noun, date = day
    if not clock.verbose and adverb[:2] != "in" and rng.random() < 0.25:
        first = clock.text
        return When(
            f"at {first} {adverb}", noun and f"{first} {adverb}", clock.on(date), relative=True
        )
    last = f"at {clock.text}"
    return When(f"{adverb} {last}", noun and f"{noun} {last}", clock.on(date), relative=True)


def soon(rng: random.Random, now: datetime) -> When:
    """Return a moment given by its distance from now."""
    spans = {"half an hour": 30, "an hour": 60, "an hour and a half": 90}
    spans |= {"two hours": 120, "three hours": 180}
    spans |= {f"{n} minutes": n for n in (10, 15, 20, 25, 30, 40, 45, 50, 75, 90)}
    span = rng.choice(list(spans))
    text = rng.choice([f"in {span}", f"in {span}", f"{span} from now"])
    return When(text, None, now + timedelta(minutes=spans[span]), relative=True)


def relative(rng: random.Random, now: datetime) -> When:
    """Return a moment that needs the current date or time."""
    kinds = dates_relative_to(now)
    extra = ["minutes", "minutes", "no year", "no year"] + ["today"] * 3 * (now.hour < 18)
    kind = rng.choice([*kinds, "tomorrow", "weekday", "this weekday", "next weekday", *extra])
    if kind in {"today", "minutes"}:
        return later_today(rng, now) if kind == "today" else soon(rng, now)
    if kind == "no year":
        day = now + timedelta(days=rng.randint(3, 250))
        if day.year == now.year:
            text = month_day(rng, day)
            return join(rng, (f"on {text}", text, day), draw_clock(rng))
    if kind not in kinds:
        return relative(rng, now)
    adverb, noun, day = rng.choice(kinds[kind])
    if (kind == "tomorrow" or "weekday" in kind) and rng.random() < 0.3:
        part, low, high, shift = rng.choice(
            [("morning", 7, 11, 0), ("afternoon", 1, 5, 12), ("evening", 6, 9, 12)]
        )
        hour = rng.randint(low, high)
        clock = Clock(str(hour), hour + shift, 0, verbose=True)
        return join(rng, (f"{adverb} {part}", noun and f"{noun} {part}", day), clock)
    return join(rng, (adverb, noun, day), draw_clock(rng))
