"""Other people's networks: where a filter's channel goes, where a mask has to sit, and how to cut the filter out.

Read in this order: `labels` (the data), `rules` (one small function per tensor operation), `trace` (runs the network and
applies the rules), `make_prunable` (places the masks), `proof` (tries them out), `compact` (cuts pruned filters out).
"""
