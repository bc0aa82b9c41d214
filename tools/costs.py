"""Measure what every study would cost on this machine and store it for `python -m gst_tutorial list`.

    python tools/costs.py

Takes some minutes: a few training steps of every network are timed.
"""

import pandas as pd

from gst_tutorial import costs, studies
from gst_tutorial.recording import processor

if __name__ == "__main__":
    rows = []
    for name in studies.names():
        rows.append(costs.study_cost(studies.get(name)))
        print(f"{name}: {costs.in_words(rows[-1]['hours'])}", flush=True)
    pd.DataFrame(rows).assign(processor=processor()).to_csv(costs.COSTS, index=False, float_format="%.3g")
