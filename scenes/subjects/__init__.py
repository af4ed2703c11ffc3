"""The subjects by name; a new one is a module here and a line below."""

from scenes.kinds import Kind, Subject
from scenes.subjects import (
    ball,
    box,
    campfire,
    chair,
    clock,
    dog,
    face,
    fish,
    glass,
    hand,
    mug,
    person,
    sign,
    tree,
)

SUBJECTS: dict[str, Subject] = {
    s.name: s
    for s in (
        face.SUBJECT,
        person.SUBJECT,
        hand.SUBJECT,
        dog.SUBJECT,
        fish.SUBJECT,
        clock.SUBJECT,
        mug.SUBJECT,
        chair.SUBJECT,
        sign.SUBJECT,
        glass.SUBJECT,
        tree.SUBJECT,
        ball.SUBJECT,
        box.SUBJECT,
        campfire.SUBJECT,
    )
}
KINDS: dict[str, Kind] = {k.name: k for s in SUBJECTS.values() for k in s.kinds}
