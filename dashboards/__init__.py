"""Tables of sweeps (DataFrames) -> small tuples of numbers (views) -> how they look (figures) -> one HTML page (page)."""
