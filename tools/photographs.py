"""Make what chapter 8 shows a photograph with: 300 small photographs and a VGG11 that was trained on others.

    python -m tools.photographs

needs class folders of CIFAR-10 as `folder:cifar10-jpeg` (see `gst.load`) and some ten minutes. It writes

    gst_tutorial/data/photographs.npz             the first 20 training and 10 test pictures of each class, as JPEG files
    gst_tutorial/networks/vgg11.safetensors       the weights, as float16, with the config, the accuracy and the versions

The pictures are those of CIFAR-10 (Krizhevsky, *Learning multiple layers of features from tiny images*, 2009), recompressed.
Their authors give them away for research and state no licence; the photographs themselves were collected from the web.
"""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import gst_tutorial as gst
from gst_tutorial.data import images
from gst_tutorial.networks.cifar import VGG11_WEIGHTS

CONFIG = gst.RunConfig(
    data="folder:cifar10-jpeg",
    model="vgg11",
    width=0.125,
    recipe=gst.Recipe("adam", 2e-3, batch_size=128, epochs=16, milestones=(10, 14), augment="crop_flip"),
    evaluate_every=4,
)
PER_CLASS = {"train": 20, "test": 10}


def pictures() -> dict[str, np.ndarray]:
    """All JPEG files end to end, where each begins, its label, and whether it is a training picture."""
    folder = images.find_folder("cifar10-jpeg")
    classes = sorted(path.name for path in (folder / "train").iterdir())
    found = [
        (path.read_bytes(), label, split == "train")
        for split, n in PER_CLASS.items()
        for label, name in enumerate(classes)
        for path in sorted((folder / split / name).iterdir())[:n]
    ]
    files, labels, train = zip(*found)
    return {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offset": np.cumsum([0, *map(len, files)]),
        "label": np.array(labels),
        "train": np.array(train),
        "classes": np.array(classes),
    }


def main() -> None:
    np.savez(images.PHOTOGRAPHS, **pictures())
    run = gst.run(CONFIG)
    weights = {name: t.half() if t.is_floating_point() else t for name, t in run.model.state_dict().items()}
    made = {
        "config": json.dumps(CONFIG.to_dict()),
        "test_accuracy": str(run.final_accuracy),
        "date": datetime.date.today().isoformat(),
        "versions": json.dumps({"python": platform.python_version(), "torch": torch.__version__}),
    }
    save_file({name: t.contiguous() for name, t in weights.items()}, VGG11_WEIGHTS, metadata=made)
    for path in (images.PHOTOGRAPHS, VGG11_WEIGHTS):
        print(f"{Path(path).name}: {Path(path).stat().st_size / 1000:.0f} KB")
    print(f"test accuracy {run.final_accuracy:.1%}")


if __name__ == "__main__":
    main()
