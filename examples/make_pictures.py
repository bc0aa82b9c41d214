"""Draw a folder of pictures to try the example with: circles, squares and triangles, 32 pixels a side, as noisy JPEGs.

    python examples/make_pictures.py        writes examples/pictures/{train,test}/{circle,square,triangle}/*.jpg

Your own folder needs the same form: a folder per class, below `train` and below `test`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE, N_TRAIN, N_TEST = 32, 40, 60  # pixels a side; pictures of each class
CORNERS = {"circle": 60, "square": 4, "triangle": 3}


def picture(corners: int, rng: np.random.Generator) -> Image.Image:
    """One shape of a random place, size, angle and colour, under noise."""
    background, colour = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(2))
    image = Image.new("RGB", (SIZE, SIZE), background)
    centre, radius, turn = rng.uniform(12, SIZE - 12, 2), rng.uniform(6, 11), rng.uniform(0, 2 * np.pi)
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    ImageDraw.Draw(image).polygon([tuple(point) for point in outline], fill=colour)
    noisy = np.asarray(image) + rng.normal(0, 25, (SIZE, SIZE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def main(folder: Path) -> None:
    """Write the pictures below `folder`, the same ones every time."""
    rng = np.random.default_rng(0)
    for split, n in (("train", N_TRAIN), ("test", N_TEST)):
        for name, corners in CORNERS.items():
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                picture(corners, rng).save(folder / split / name / f"{i:03}.jpg")
    print(f"{(N_TRAIN + N_TEST) * len(CORNERS)} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
