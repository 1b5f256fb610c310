"""Tables of sweeps -> small tuples of numbers (views, classes) -> how they look (figures) -> one HTML page (page)."""
