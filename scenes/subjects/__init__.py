"""The subjects by name; a new one is a module here and a line below."""

from scenes.kinds import Kind, Subject
from scenes.subjects import ball, campfire, clock, dog, face, fish, mug, person, tree

SUBJECTS: dict[str, Subject] = {
    s.name: s
    for s in (
        face.SUBJECT,
        person.SUBJECT,
        dog.SUBJECT,
        fish.SUBJECT,
        clock.SUBJECT,
        mug.SUBJECT,
        tree.SUBJECT,
        ball.SUBJECT,
        campfire.SUBJECT,
    )
}
KINDS: dict[str, Kind] = {k.name: k for s in SUBJECTS.values() for k in s.kinds}
