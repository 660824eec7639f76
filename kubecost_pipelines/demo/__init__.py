"""Demo: a small fictional company, its cloud bill and its cluster APIs. Deterministic and offline."""
