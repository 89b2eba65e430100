"""Medians with their range, and ratios within rounds."""

import statistics


def spread(values):
    """{"median", "min", "max"} of what is there."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def show(s, digits=2):
    if s is None:
        return "-"
    return f"**{s['median']:,.{digits}f}** ({s['min']:,.{digits}f}–{s['max']:,.{digits}f})"


def pick(run, *path):
    """A figure of a run, or nothing when the run failed or was too short for it."""
    for key in path:
        run = run.get(key) if run else None
    return run


def rate(run, window="warm"):
    return pick(run, window, "rate")


def own_cpu(run, window="warm"):
    return pick(run, window, "cpu_us", "contender")


def with_server(run, window="warm"):
    own, server = own_cpu(run, window), pick(run, window, "cpu_us", "postgres")
    return None if own is None else own + server


def paired(one, other, how):
    """`how(a, b)` of the same round."""
    both = zip(one, other)
    return spread([how(a, b) for a, b in both if a is not None and b is not None])


def ratio(a, b):
    return a / b if b else None


def difference(a, b):
    return a - b
