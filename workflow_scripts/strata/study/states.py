"""States: whose weights made a representation."""


def fine_tuned(seed: int) -> str:
    return f"full-seed{seed}"


def seed_of(state: str) -> int | None:
    """The seed of a run's state, None for `pretrained`."""
    return int(state.rpartition("-seed")[2]) if "-seed" in state else None
