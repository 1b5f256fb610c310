"""Tiny ImageNet in its official layout, training and validation images, out of a clone of GitHub's rangeetpan/IMagenet.

    python -m benchmarks.archive CLONE tiny-imagenet-200.zip

The clone, which needs no work tree, has two classes that are not Tiny ImageNet's; they are left out.
"""

import argparse
import subprocess
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

TOP, ADDED = "tiny-imagenet-200", frozenset({"n02480855", "n10148035"})


def lines_kept(text: str, column: int) -> list[str]:
    """The lines whose tab-separated `column` is not one of the added classes."""
    lines = (line for line in text.splitlines() if line.strip())
    return [line for line in lines if line.split("\t")[column].strip() not in ADDED]


def is_kept(path: PurePosixPath, validation: set[str]) -> bool:
    """Whether a file of the clone is an image of Tiny ImageNet's: train/<wnid>/images/<name>, or one of `validation`."""
    if path.suffix != ".JPEG":
        return False
    return path.name in validation if path.parts[1] == "val" else path.parts[2] not in ADDED


def write_archive(clone: Path, out: Path) -> int:
    """Write the archive; returns how many images are in it."""
    git = ["git", "-C", str(clone)]

    def text_of(path: str) -> str:
        shown = [*git, "show", f"HEAD:{TOP}/{path}"]
        return subprocess.run(shown, check=True, capture_output=True, text=True).stdout

    annotations = lines_kept(text_of("val/val_annotations.txt"), 1)
    validation, count = {line.split("\t")[0] for line in annotations}, 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{TOP}/wnids.txt", "\n".join(lines_kept(text_of("wnids.txt"), 0)))
        archive.writestr(f"{TOP}/words.txt", text_of("words.txt"))
        archive.writestr(f"{TOP}/val/val_annotations.txt", "\n".join(annotations))
        listed = [*git, "archive", "HEAD", f"{TOP}/train", f"{TOP}/val/images"]
        with (
            subprocess.Popen(listed, stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as files,
        ):
            for member in files:
                content = files.extractfile(member)
                if content and is_kept(PurePosixPath(member.name), validation):
                    archive.writestr(member.name, content.read())
                    count += 1
    if process.returncode:
        raise SystemExit(f"git archive ended with {process.returncode}")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    print(f"{options.out}: {write_archive(options.clone, options.out):,} images")


if __name__ == "__main__":
    main()
