"""Evaluation, the HTML report, exports, and the chain of all stages."""
