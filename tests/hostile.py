"""Names of classes as nobody should have them, and as somebody will."""

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
