"""Commands that people are told to give: whole, so that they work as they are printed, from any directory."""

import shlex
from collections.abc import Mapping


def command(verb: str, name: str | None, storage: str, options: Mapping[str, object] | None = None) -> str:
    """A command on a sweep, or on none, in a storage root that is seen from everywhere; options without a value are left out."""
    given = [str(word) for option, value in (options or {}).items() if value for word in (option, value)]
    return shlex.join(["sweeper", verb, *([name] if name else []), "--storage", storage, *given])
