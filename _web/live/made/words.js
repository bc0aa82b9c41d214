// Written by tools/pages/live.py from the table in gst_tutorial/interventions.py.
export const WORDS = {
  "prune": {
    "words": "prune",
    "sentence": "Pruned filters never come back.",
    "removes": true
  },
  "zero": {
    "words": "set to zero",
    "sentence": "Their weights are set to zero. Nothing is removed: they can grow back from the next step on.",
    "removes": false
  },
  "scale": {
    "words": "shorten",
    "sentence": "Their weights shrink to a quarter. Batch norm's statistics stay as they were, so predictions change.",
    "removes": false
  },
  "rescale": {
    "words": "shorten, adjust batch norm",
    "sentence": "Their weights shrink to a quarter, and batch norm's statistics with them, so no prediction changes.",
    "removes": false
  },
  "redirect": {
    "words": "turn to a new direction",
    "sentence": "They get new random weights of the same length: what they had learned is gone, but they are no shorter.",
    "removes": false
  },
  "zero_inputs": {
    "words": "zero the head's inputs",
    "sentence": "The filters stay as they are; the last layer's weights for a random fraction of its inputs are set to zero.",
    "removes": false
  }
};
