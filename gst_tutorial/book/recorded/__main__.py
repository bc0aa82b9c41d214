"""Add checksums to recorded studies that were written before files had any: `python -m gst_tutorial.book.recorded`."""

import json

from gst_tutorial.book.recorded import FOLDER, as_json, recorded_names, with_checksum

for name in recorded_names():
    path = FOLDER / f"{name}.json"
    provenance = json.loads(path.read_text(encoding="utf-8"))
    if "checksum" not in provenance:  # one that does not match must be looked into, not replaced
        files = [f"{name}.csv", *(f"{name}-{kind}.csv" for kind in provenance["curves"])]
        texts = {file: (FOLDER / file).read_text(encoding="utf-8") for file in files}
        path.write_text(as_json(with_checksum(provenance, texts)), encoding="utf-8")
        print(path)
