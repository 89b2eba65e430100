"""An event as 20 numbers: the same for every Python peer."""

COUNTRIES = {c: i for i, c in enumerate(["DE", "FR", "US", "GB", "NL", "PL", "BR", "IN", "CN", "NG"])}
DEVICES = {c: i for i, c in enumerate(["ios", "android", "web", "pos", "moto"])}
CATEGORIES = {c: i for i, c in enumerate(["grocery", "travel", "electronics", "gambling", "fuel", "fashion", "health", "games"])}


def row(e):
    c, m, d, s = e["card"], e["merchant"], e["device"], e["stats"]
    return (
        e["amount"], c["bin"], c["age_days"], COUNTRIES.get(c["country"], -1), c["prepaid"],
        CATEGORIES.get(m["category"], -1), COUNTRIES.get(m["country"], -1), m["risk"],
        DEVICES.get(d["kind"], -1), COUNTRIES.get(d["ip_country"], -1), d["new"],
        s["n_1h"], s["n_24h"], s["sum_24h"], s["avg_30d"], s["std_30d"], s["declines_24h"], s["distance_km"],
        c["country"] == m["country"], c["country"] == d["ip_country"],
    )  # fmt: skip
