"""Pack the built book into one zip that works from the file system, without a network, and write its checksum.

The same book gives the same zip, byte for byte: names in order, one fixed time, one compression level.

    make archive        # or: python -m tools.publish.archive _build/html _build
"""

import argparse
import hashlib
import tomllib
import zipfile
from pathlib import Path

from tools.publish.fonts import embed_fonts

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("404.html", "objects.inv", "sitemap.xml", "_static/reveal/")  # for servers, other books, slides
TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold

READ_ME = """The Generalization-Stability Tradeoff, version {version}

Unpack this archive and open index.html in a browser. Search, formulas and figures work without a network.
Figures that train need a server, as browsers run no modules from files: run "python -m http.server" in this folder and open
http://localhost:8000/.
Text and figures: CC BY 4.0. Code: MIT.
"""


def contents(html: Path) -> dict[str, bytes]:
    """Files of the archive by name, with what pages need when they are opened from the file system.

    Browsers then forbid a page to read other pages and, some of them, fonts: a search lists its results without
    excerpts, and the fonts of formulas and icons stand inside the files that name them.
    """
    files = {}
    for path in sorted(html.rglob("*")):
        name = path.relative_to(html).as_posix()
        if path.is_file() and not name.startswith((".", *LEFT_OUT)):
            files[name] = path.read_bytes()
    options = files["_static/documentation_options.js"]
    files["_static/documentation_options.js"] = options.replace(b"SUMMARY: true", b"SUMMARY: false")
    return embed_fonts(files)


def write(html: Path, folder: Path) -> Path:
    """Write the archive and its SHA-256 into `folder`; return the archive's path."""
    if not (html / "index.html").is_file():
        raise FileNotFoundError(f"no built book in {html}: run `make book`")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    name = f"gst-tutorial-{version}"
    files = contents(html) | {"README.txt": READ_ME.format(version=version).encode()}
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{name}/{file}", TIME)
            entry.external_attr = 0o644 << 16
            target.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_suffix(".zip.sha256").write_text(f"{checksum}  {archive.name}\n")
    return archive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder of the built book")
    parser.add_argument("folder", type=Path, help="folder to write into")
    arguments = parser.parse_args()
    archive = write(arguments.html, arguments.folder)
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)")
