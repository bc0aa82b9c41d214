"""The book's figures: `style` says how things look, `plots` draw estimates, `slider` makes pictures that answer without a
kernel, `prediction` asks for a guess before it tells, `mechanisms` move (all three are built on a `card`), `tables` folds
numbers away. Each name is loaded when it is first asked for; importing this package loads no plotting library.
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
    "card": ("show",),
    "mechanisms": ("mechanism",),
    "slider": ("figure_frames", "slider_figure"),
    "prediction": ("predict",),
    "tables": ("folded",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
