"""Synthetic card payments: the events of the fraud scenario and the process that decides which of them are fraud.

`event(r, i)` draws one payment of about 410 bytes of JSON; everything is independent of everything else, so that a twin
in another language needs no more than the ranges below. `logit(e)` is the stated truth behind the labels:
a payment is fraud with probability 1 / (1 + exp(-logit)). About one payment in twenty-two is.

    python payments.py COUNT [SEED]     prints COUNT events, one a line: key, tab, JSON
"""

import datetime
import json
import math
import random
import sys

COUNTRIES = ["DE", "FR", "US", "GB", "NL", "PL", "BR", "IN", "CN", "NG"]
DEVICES = ["ios", "android", "web", "pos", "moto"]
CATEGORIES = ["grocery", "travel", "electronics", "gambling", "fuel", "fashion", "health", "games"]
START = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


def event(r, i):
    """Payment number `i`; the order of the draws is part of the definition."""
    return {
        "id": f"pay-{i:012d}",
        "ts": (START + datetime.timedelta(milliseconds=i)).isoformat().replace("+00:00", "Z"),
        "amount": round(r.lognormvariate(3.5, 1.2), 2),
        "currency": "EUR",
        "card": {
            "bin": r.randrange(400000, 560000),
            "age_days": r.randrange(1, 3000),
            "country": r.choice(COUNTRIES),
            "prepaid": r.random() < 0.1,
        },
        "merchant": {
            "id": f"m{r.randrange(50000)}",
            "category": r.choice(CATEGORIES),
            "country": r.choice(COUNTRIES),
            "risk": round(r.random(), 4),
        },
        "device": {"kind": r.choice(DEVICES), "ip_country": r.choice(COUNTRIES), "new": r.random() < 0.05},
        "stats": {
            "n_1h": r.randrange(10),
            "n_24h": r.randrange(50),
            "sum_24h": round(r.lognormvariate(5, 1), 2),
            "avg_30d": round(r.lognormvariate(3.6, 0.8), 2),
            "std_30d": round(r.random() * 80, 3),
            "declines_24h": r.randrange(4),
            "distance_km": round(r.expovariate(1 / 300), 2),
        },
    }


def logit(e):
    """The fraud process. Every term is something that an analyst would say aloud."""
    card, merchant, device, stats = e["card"], e["merchant"], e["device"], e["stats"]
    z = -12.0
    z += 1.1 * max(0.0, math.log((e["amount"] + 1) / (stats["avg_30d"] + 1)))  # far above the card's usual amount
    z += 2.5 * merchant["risk"]
    z += 2.0 if card["prepaid"] else 0.0
    z += 2.5 if device["new"] else 0.0
    z += 1.2 * stats["declines_24h"]
    z += 0.25 * stats["n_1h"]
    z += 1.5 if card["age_days"] < 90 else 0.0
    z += 1.5 if merchant["category"] in ("gambling", "electronics", "games") else 0.0
    z += 0.0 if card["country"] == device["ip_country"] else 0.8
    # far from the last payment, unless the card is in a machine
    z += 0.0 if device["kind"] == "pos" else min(2.0, stats["distance_km"] / 400)
    return z


def fraud(r, e):
    """Draws the label of an event."""
    return r.random() < 1 / (1 + math.exp(-logit(e)))


def encode(e):
    return json.dumps(e, separators=(",", ":")).encode()


def key(e):
    return e["card"]["country"] + str(e["card"]["bin"])


def stream(n, seed=1):
    """(key, JSON) of `n` payments; labels have a generator of their own and do not change the stream."""
    r = random.Random(seed)
    for i in range(n):
        e = event(r, i)
        yield key(e), encode(e)


if __name__ == "__main__":
    for k, v in stream(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(k, v.decode(), sep="\t")
