"""Describing defects: the protocol, what counts as an answer, P(defective), and the stage of a run."""
