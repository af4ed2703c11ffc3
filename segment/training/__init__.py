"""Training the defect head over a frozen encoder.

In reading order: `data` (examples, and what is refused), `split`, `views` (augmentations with exact masks), `store` and
`cache` (what is computed once), `losses`, `scoring` (validation, thresholds), `loop`, `card` (what is told of it),
`train` (the whole job).
"""
