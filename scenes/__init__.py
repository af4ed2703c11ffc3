"""Draws pictures with exactly known defects: sample, golden descriptions, masks and quality.

In reading order: `canvas` (a pen that draws colour, part instances and defect masks at once), `kinds`
(what a defect kind and a subject are), `subjects/` (one module a subject: its drawing and its kinds),
`settings` (backgrounds), `shifts` and `finish` (light, style, and what is degraded), `words` (prompts,
golden texts, scores), `draw` (one scene from one seed), `dataset` (folders and manifests), `naming` (which
kinds a free text names, for evaluation).
"""
