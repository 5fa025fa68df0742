"""Dance: a figure whose movements reach their poses on the beats of the music (after AIST++, Li et al. 2021)."""

from dataclasses import dataclass

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.canvas import Canvas, Colour, Value, box, disc, ellipse, shade, stroke
from sonovid.data.scenes.music import Song, add_music, draw_song
from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.track import Track
from sonovid.data.scenes.world import World, events_in_clip, frame_times

FLOOR = 0.42
COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.14, 0.14),
    "blue": (0.14, 0.32, 0.85),
    "green": (0.1, 0.6, 0.25),
    "yellow": (0.96, 0.83, 0.12),
    "orange": (0.97, 0.5, 0.08),
    "purple": (0.56, 0.22, 0.74),
    "white": (0.95, 0.95, 0.95),
    "black": (0.1, 0.1, 0.12),
}
SKIN: tuple[Colour, ...] = ((0.96, 0.79, 0.66), (0.8, 0.58, 0.42), (0.5, 0.33, 0.22))
HAIR: tuple[Colour, ...] = ((0.12, 0.09, 0.08), (0.42, 0.25, 0.12), (0.85, 0.66, 0.3))
WALLS: tuple[Colour, ...] = ((0.78, 0.82, 0.9), (0.88, 0.83, 0.78), (0.8, 0.88, 0.86), (0.84, 0.78, 0.86))

# Columns: hip offset, crouch, lean, left arm, left elbow, right arm, right elbow, left foot offset and lift, right foot offset
# and lift. Arm angles: 0 hangs down, pi / 2 is horizontal, pi points up. Positive elbow angles bend towards the head.
POSES = np.array(
    [
        (0.00, 0.02, 0.00, 0.35, 0.30, 0.35, 0.30, -0.09, 0.00, 0.09, 0.00),
        (0.00, 0.00, 0.00, 2.50, 0.30, 2.50, 0.30, -0.12, 0.00, 0.12, 0.00),
        (0.06, 0.04, 0.15, 0.70, -1.60, 2.40, 0.10, -0.14, 0.00, 0.14, 0.00),
        (0.00, 0.05, 0.00, 1.57, 1.50, 1.57, -1.50, -0.13, 0.00, 0.13, 0.00),
        (0.00, 0.12, 0.00, 1.30, 1.20, 1.30, 1.20, -0.16, 0.00, 0.16, 0.00),
        (-0.05, 0.01, -0.12, 1.57, 0.00, 1.00, 0.60, -0.08, 0.00, 0.22, 0.14),
        (0.09, 0.05, 0.05, 1.80, 0.90, 0.50, 0.80, -0.02, 0.05, 0.17, 0.00),
        (0.00, -0.10, 0.00, 2.20, 0.40, 2.20, 0.40, -0.10, 0.12, 0.10, 0.12),
        (-0.04, 0.06, -0.2, 2.7, 0.0, 0.9, -1.7, -0.15, 0.00, 0.12, 0.00),
        (0.00, 0.03, 0.00, 1.57, 0.00, 1.57, 0.00, -0.06, 0.00, 0.06, 0.12),
    ]
)


def mirror_pose(pose: np.ndarray) -> np.ndarray:
    return np.array([-pose[0], pose[1], -pose[2], pose[5], pose[6], pose[3], pose[4], -pose[9], pose[10], -pose[7], pose[8]])


@dataclass(frozen=True)
class Scene:
    song: Song
    shirt: str
    trousers: str
    skin: Colour
    hair: Colour
    wall: Colour
    long_hair: bool
    x: Number
    routine: tuple[tuple[int, bool], ...]  # a pose and whether it is mirrored, for each of eight beats


def draw_scene(seed: int) -> Scene:
    rng = RandomStream("dance", seed)
    song = draw_song(rng.substream("song"))
    shirt = rng.choice([name for name in COLOURS if name != "black"])
    trousers = rng.choice([name for name in COLOURS if name != shirt])
    routine: list[tuple[int, bool]] = []
    for beat in range(4):
        # Consecutive poses differ, so that every beat is visible.
        left = [k for k in range(len(POSES)) if k != (routine[-1][0] if beat else -1) and (beat < 3 or k != routine[0][0])]
        routine.append((rng.choice(left), rng.chance(0.5)))
    routine += [(pose, not flip) for pose, flip in routine]
    look = (rng.choice(SKIN), rng.choice(HAIR), rng.choice(WALLS), rng.chance(0.5))
    return Scene(song, shirt, trousers, *look, rng.uniform(-0.06, 0.06), tuple(routine))


def tempo_word(scene: Scene) -> str:
    return "slow" if scene.song.bpm < 100 else "fast" if scene.song.bpm > 120 else "medium"


def attributes(seed: int) -> dict[str, str]:
    scene = draw_scene(seed)
    return {
        "world": "dance",
        "style": scene.song.style,
        "colour": scene.shirt,
        "trousers": scene.trousers,
        "tempo": tempo_word(scene),
    }


def pose_at(scene: Scene, t: np.ndarray) -> np.ndarray:
    """The pose at each time, [t 11]: still on the beats and fastest between them, with a small dip of the hips on each beat."""
    beat = (t - scene.song.first) / scene.song.beat
    now = np.floor(beat)
    keys = np.array([mirror_pose(POSES[k]) if flip else POSES[k] for k, flip in scene.routine])
    index = now.astype(int) % len(keys)
    share = np.clip((beat - now - 0.15) / 0.85, 0.0, 1.0)
    share = share * share * (3 - 2 * share)
    pose = keys[index] * (1 - share[:, None]) + keys[(index + 1) % len(keys)] * share[:, None]
    pose[:, 1] += 0.022 * np.cos(2 * np.pi * beat)
    return pose


def paint_limb(canvas: Canvas, a: tuple[Value, Value], b: tuple[Value, Value], thick: Number, colour: Colour) -> None:
    canvas.fill(stroke(a[0], a[1], b[0], b[1], thick), colour)


def knee_position(a: tuple[Value, Value], b: tuple[Value, Value], length: Number, side: Number) -> tuple[Value, Value]:
    """Position of the knee between hip a and foot b, with both bones of one length, bent to one side."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    gap = np.hypot(dx, dy)
    bend = np.sqrt(np.maximum(length**2 - gap**2 / 4, 0.0))
    return (a[0] + b[0]) / 2 + side * bend * dy / gap, (a[1] + b[1]) / 2 - side * bend * dx / gap


def paint_dancer(canvas: Canvas, scene: Scene, pose: np.ndarray) -> None:
    aside, crouch, lean, arm_l, elbow_l, arm_r, elbow_r, foot_l, lift_l, foot_r, lift_r = pose.T
    thigh, torso, upper, lower = 0.175, 0.235, 0.125, 0.12
    hip_x, hip_y = scene.x + aside, FLOOR - 0.325 + crouch
    neck = (hip_x + torso * np.sin(lean), hip_y - torso * np.cos(lean))
    shirt, trousers = COLOURS[scene.shirt], COLOURS[scene.trousers]
    feet = {-1: (scene.x + foot_l, FLOOR - lift_l), 1: (scene.x + foot_r, FLOOR - lift_r)}
    canvas.fill(ellipse(hip_x, FLOOR + 0.02, 0.2 + 0 * hip_x, 0.03), (0.05, 0.05, 0.08), 0.4, 3.0)
    for side, (x, y) in feet.items():
        hip = (hip_x + 0.04 * side, hip_y)
        knee = knee_position(hip, (x, y), thigh, side)
        paint_limb(canvas, (x, y), (x + 0.035 * side, y + 0.005), 0.026, (0.16, 0.13, 0.14))
        paint_limb(canvas, hip, knee, 0.043, trousers)
        paint_limb(canvas, knee, (x, y - 0.012), 0.034, shade(trousers, 0.85))
    if scene.long_hair:
        paint_limb(canvas, (neck[0], neck[1] - 0.08), (neck[0] - 0.03 * np.sin(lean), neck[1] + 0.02), 0.062, scene.hair)
    paint_limb(canvas, (hip_x, hip_y - 0.01), (neck[0] * 0.75 + hip_x * 0.25, neck[1] * 0.75 + hip_y * 0.25), 0.062, shirt)
    paint_limb(canvas, (neck[0] - 0.05, neck[1] + 0.04), (neck[0] + 0.05, neck[1] + 0.04), 0.04, shirt)
    head = (neck[0] + 0.5 * 0.1 * np.sin(lean), neck[1] - 0.085)
    canvas.fill(disc(head[0], head[1] - 0.012, 0.068), scene.hair)
    canvas.fill(ellipse(head[0], head[1] + 0.012, 0.055, 0.055), scene.skin)
    for side in (-1, 1):
        canvas.fill(disc(head[0] + 0.02 * side, head[1] + 0.005, 0.009), (0.08, 0.06, 0.06))
    for side, arm, elbow in ((-1, arm_l, elbow_l), (1, arm_r, elbow_r)):
        shoulder = (neck[0] + 0.085 * side, neck[1] + 0.035)
        bend = (shoulder[0] + side * upper * np.sin(arm), shoulder[1] + upper * np.cos(arm))
        hand = (bend[0] + side * lower * np.sin(arm + elbow), bend[1] + lower * np.cos(arm + elbow))
        paint_limb(canvas, shoulder, bend, 0.034, shade(shirt, 0.82))
        paint_limb(canvas, bend, hand, 0.026, scene.skin)
        canvas.fill(disc(hand[0], hand[1], 0.032), scene.skin)


def caption(seed: int) -> str:
    scene, rng = draw_scene(seed), RandomStream("dance", seed, "words")
    article = "an" if scene.shirt == "orange" else "a"
    clothes = rng.choice(
        (
            f"in {article} {scene.shirt} shirt and {scene.trousers} trousers",
            f"wearing {article} {scene.shirt} top and {scene.trousers} trousers",
            f"with {article} {scene.shirt} shirt and {scene.trousers} trousers",
        )
    )
    who = rng.choice(("a dancer", "a person", "someone"))
    speed = rng.choice(
        (f"{tempo_word(scene)} {scene.song.style} music", f"{scene.song.style} music at a {tempo_word(scene)} tempo")
    )
    return rng.choice(
        (
            f"{who} {clothes} dances to {speed}",
            f"{who} {clothes} is dancing to {speed}",
            f"{who} {clothes} moves to the beat of {speed}",
            f"dancing to {speed}, {who} {clothes}",
            f"to {speed}, {who} {clothes} dances",
        )
    )


def render(seed: int, geometry: Geometry) -> Clip:
    scene, t, until = draw_scene(seed), frame_times(geometry), float(geometry.seconds)
    canvas = Canvas(geometry.height, geometry.width)
    canvas.backdrop(scene.wall, shade(scene.wall, 0.85), 0.3, shade(scene.wall, 0.55))
    canvas.fill(box(-99, 0.3, 99, 0.315), shade(scene.wall, 0.7))
    canvas.animate(geometry.num_frames)
    paint_dancer(canvas, scene, pose_at(scene, t))
    track = Track(geometry)
    add_music(scene.song, track, RandomStream("dance", seed, "music"))
    events = events_in_clip(scene.song.beats(until), geometry)
    return Clip(canvas.frames(), track.waveform(), geometry.fps, geometry.sample_rate, caption(seed), scene.song.style, events)


DANCE = World("dance", attributes, render)
