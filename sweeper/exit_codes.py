"""How the command line ends, as scripts read it; 0 when all ended well, 128 and the signal's number after a signal."""

BUG = 1
BAD_INPUT = 2
FAILED = 3  # some trials failed, or something else than a signal stopped the sweep
NOT_PUBLISHED = 4  # MLflow lacks something that `sweeper sync` would publish
