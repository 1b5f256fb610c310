"""Names of classes as nobody should have them, and as somebody will; and those in MLflow, read back."""

import re

CLASSES = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://example.org","y")',
    "x" * 300,
    "🐸👩‍👩‍👧 frog",
    "סלמנדרה",
    "two\nlines\r\n",
    "  =1+1",
    "＝1+1",
    r"\input{/etc/passwd} $x^2_3$ #~&%|",
    "[red]\x1b[2Jx\u202egnp.exe",
    "frog;=1+1",
    "*b* `c` _d_ ![i](http://example.org)",
    '\'" onmouseover=alert(1) x="',
    "</title></style>{{ 7 * 7 }}{% for %}",
)


def original_name(safe: str) -> str:
    """The name that `safe_name` was given, if it was not too long."""
    content = b"".join(
        bytes([int(part[1:], 16)]) if part.startswith(":") else part.encode()
        for part in re.findall(r":[0-9a-f]{2}|[^:]+", safe)
    )
    return content.decode("utf-8", "surrogatepass")
