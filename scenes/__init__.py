"""Draws pictures with exactly known defects: sample, golden descriptions, masks and quality.

In reading order: `canvas` (a pen that draws colour, part labels and the defect mask at once), `kinds`
(what a defect kind and a subject are), `subjects/` (one module a subject: its drawing and its kinds),
`settings` (backgrounds), `words` (prompts and golden texts), `draw` (one scene from one seed),
`dataset` (folders and manifests).
"""
