"""Numbers as words, for sentences that people read."""


def points_of(tolerance: float) -> str:
    """A fraction in points, as words: "1 point", "0.5 points"."""
    return f"{100 * tolerance:g} point{'' if tolerance == 0.01 else 's'}"


def rounded(count: float) -> int:
    """A number rounded to two digits, since it is an estimate."""
    return int(float(f"{count:.1e}"))
