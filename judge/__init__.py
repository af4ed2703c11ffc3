"""Scores descriptions against golden ones: completeness and precision, 0–2 each.

`claims`, the offline default, is not an LLM: it splits texts into claims and matches them. Any other
judge is a language model behind an OpenAI-compatible server.
"""
