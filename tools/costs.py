"""Measure what every study would cost on this machine and store it for `python -m gst_tutorial list`.

    python tools/costs.py             # every study
    python tools/costs.py dose        # only the named ones

Takes some minutes: a few training steps of every network are timed.
"""

import sys

import pandas as pd

from gst_tutorial import costs, studies
from gst_tutorial.studies.recorded import processor

if __name__ == "__main__":
    known = costs.recorded_costs().set_index("study", drop=False).to_dict("index") if costs.COSTS.exists() else {}
    for name in sys.argv[1:] or studies.names():
        known[name] = costs.study_cost(studies.get(name)) | {"processor": processor()}
        print(f"{name}: {costs.in_words(known[name]['hours'])}", flush=True)
    rows = [known[name] for name in studies.names() if name in known]
    pd.DataFrame(rows).to_csv(costs.COSTS, index=False, float_format="%.3g")
