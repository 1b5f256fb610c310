"""The dashboard of large sweeps: how long it takes to write, what it weighs, how soon it can be used in Chromium.

    python -m benchmarks.dashboard [--trials 50 --epochs 35 --classes 10 --images 500] [--keep FOLDER]

Without a size, the two cases of the target: 1,000 trials x 35 epochs x 10 classes with 500 test images, and 100 trials x 35
epochs x 200 classes with 10,000. `sweeper dashboard` runs as a process of its own, timed from its start to its end. The page
is opened from disk in a headless Chromium of 1440 x 900 that has started but has seen no page yet; it counts as usable when
the first panel is painted and a click on the second tab has been answered with that panel painted. Then each tab is clicked
for the first time and timed until it is painted. Told are medians over fresh browsers and the range of "usable". Targets:
usable within 3 s, under 15 MB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.chromium import PAINTED, Browser, program
from benchmarks.large_sweep import Size, write_large_sweep
from benchmarks.sides import verdict

CASES = (Size(1000, 35, 10, 500), Size(100, 35, 200, 10_000))
OPEN_SECONDS, MEGABYTES, SETTLING_SECONDS = 3.0, 15.0, 2.0


def written(storage: Path, size: Size, page: Path) -> tuple[float, float]:
    """Seconds and peak GiB of `sweeper dashboard`; the sweep is written first unless it is there."""
    if not (storage / size.name).exists():
        write_large_sweep(storage, size)
    start = time.perf_counter()
    words = [sys.executable, "-m", "sweeper", "dashboard", size.name, "--storage", str(storage), "-o", str(page)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def opened(page: Path) -> tuple[float, dict[str, float]]:
    """Seconds from navigation until the page is usable, and seconds that each tab takes to be painted at first."""
    chromium = program()
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, Path(profile))
        try:
            browser.looks(1440, 900)
            browser.open("data:text/html,<title>started</title>")
            time.sleep(SETTLING_SECONDS)
            return _timed(browser, page)
        finally:
            browser.close()


def _timed(browser: Browser, page: Path) -> tuple[float, dict[str, float]]:
    browser.open(page.absolute().as_uri())
    browser.do(PAINTED)
    tabs = browser.do("[...document.querySelectorAll('main:not([hidden]) [role=tab]')].map(tab => tab.id)")
    browser.click(f"#{tabs[1]}")
    usable = browser.do(PAINTED) / 1000
    seconds = {}
    for tab in tabs[2:] + tabs[:2]:
        start = time.perf_counter()
        browser.click(f"#{tab}")
        browser.do(PAINTED)
        seconds[tab.rpartition("-")[2]] = time.perf_counter() - start
        assert browser.do(f"document.getElementById('{tab}').getAttribute('aria-selected')") == "true"
    assert browser.complaints() == []
    return usable, seconds


def measure(storage: Path, size: Size, rounds: int) -> None:
    page = storage / f"{size.name}.html"
    seconds, gibibytes = written(storage, size, page)
    openings = [opened(page) for _ in range(rounds)]
    usable = [until for until, _ in openings]
    tabs = {name: median(taken[name] for _, taken in openings) for name in openings[0][1]}
    print(f"\n{size.trials} trials x {size.epochs} epochs x {size.classes} classes, {size.test_images} test images")
    print(f"  written in {seconds:.1f} s, at most {gibibytes:.2f} GiB")
    print("  " + verdict("megabytes", page.stat().st_size / 1e6, MEGABYTES, at_least=False))
    print("  " + verdict("seconds until usable", median(usable), OPEN_SECONDS, at_least=False))
    print(f"  from {min(usable):.2f} to {max(usable):.2f} s in {rounds} fresh browsers")
    print("  tabs: " + ", ".join(f"{name} {taken:.2f} s" for name, taken in tabs.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--images", type=int, default=500, help="test images; as many for validation")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="a folder for sweeps and pages; sweeps that are there are used again")
    given = parser.parse_args()
    own = Size(given.trials, given.epochs, given.classes, given.images)
    is_own = any(word.startswith(("--trials", "--epochs", "--classes", "--images")) for word in sys.argv)
    with tempfile.TemporaryDirectory() as temporary:
        for size in [own] if is_own else CASES:
            measure(given.keep or Path(temporary), size, given.rounds)


if __name__ == "__main__":
    main()
