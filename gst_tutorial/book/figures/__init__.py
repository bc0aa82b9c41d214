"""The book's figures.

`style` has one colour and marker for each concept, `plots` draws estimates with them. `slider`, `prediction` and `mechanisms`
make figures that respond without a kernel, all on a `card`. A name is loaded when it is first used, so importing this package
does not import matplotlib.
"""

import importlib

_NAMES = {
    "style": ("LOOKS", "PALETTE", "house_style", "look", "use_style"),
    "plots": (
        "accuracy_against_instability",
        "curve",
        "filter_scores",
        "forest",
        "gain_against_width",
        "gains_against_instability",
        "means",
        "training_curve",
    ),
    "card": ("folded", "show"),
    "mechanisms": ("mechanism",),
    "slider": ("figure_frames", "slider_figure"),
    "prediction": ("predict",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
