"""DenoiserBuilder: guidance and conditioning on functions with known answers."""

from types import SimpleNamespace

import pytest
import torch

from sonovid.core.av import AV, NO_STREAMS
from sonovid.core.condition import Condition
from sonovid.diffusion.schedule import Tabulated, add_noise
from sonovid.pipelines.denoising import DenoiserBuilder

SCHEDULE = AV(Tabulated(), Tabulated())
ONE = torch.ones(1, dtype=torch.bool)
CONDITION = Condition.empty(AV(ONE, ONE))


class Shown:
    """Says how much it is told: 1 for the context, 10 for the given pictures, 100 for the given sound."""

    def __init__(self, context=1.0):
        self.context, self.embedded, self.calls = context, 0, []

    def embed_context(self, condition, b, dropped=None):
        self.embedded += 1
        return torch.full((b, 1), 0.0 if dropped is not None else self.context)

    def __call__(self, x, t, condition, previous, *, conditioning, context):
        told = float(context.sum()) + sum(
            n * float(g.mean()) for n, g in zip((10, 100), conditioning, strict=True) if g is not None
        )
        self.calls.append((told, x))
        return SimpleNamespace(prediction=x.map(lambda xi: torch.full_like(xi, told)))


def evaluated(network, given, scale, against="modality"):
    builder = DenoiserBuilder(network, SCHEDULE, "x0", "shown")
    denoise = builder.guided(CONDITION, None, given, scale, against)
    x, t = AV(torch.zeros(1, 2), torch.zeros(1, 3)), AV(torch.full((1,), 0.5), torch.full((1,), 0.5))
    for _ in range(2):
        found = denoise(x, t, None)
    return found.map(lambda z: float(z.mean()))


@pytest.mark.parametrize(
    ("given", "against", "wanted"),
    [
        # Nothing is given: 1 + (s - 1) (1 - 0), whatever guidance is against.
        (NO_STREAMS, "modality", AV(3.0, 5.0)),
        (NO_STREAMS, "both", AV(3.0, 5.0)),
        # Pictures are given, and all that is told is 11; the scale of the pictures is idle.
        (AV(torch.ones(1, 2), None), "modality", AV(11.0, 11 + 4 * 10.0)),
        (AV(torch.ones(1, 2), None), "context", AV(11.0, 11 + 4 * 1.0)),
        (AV(torch.ones(1, 2), None), "both", AV(11.0, 11 + 4 * 10.0 + 4 * 1.0)),
        (AV(None, torch.ones(1, 3)), "modality", AV(101 + 2 * 100.0, 101.0)),
    ],
)
def test_guidance_leads_away_from_the_named_condition(given, against, wanted):
    network = Shown()
    assert evaluated(network, given, AV(3.0, 5.0), against) == wanted
    # Once for all steps: the context, and where guidance needs it the null one.
    assert network.embedded == (1 if given != NO_STREAMS and against == "modality" else 2)


def test_useless_evaluations_are_skipped():
    for network, scale in ((Shown(), AV(1.0, 1.0)), (Shown(context=0.0), AV(3.0, 5.0))):
        evaluated(network, NO_STREAMS, scale)
        assert len(network.calls) == 2


def test_a_shown_stream_is_noised_with_the_initial_noise():
    network, given = Shown(), AV(torch.full((1, 2), 0.5), None)
    builder = DenoiserBuilder(network, SCHEDULE, "x0", "shown")
    noises = AV(torch.tensor([[1.0, -1.0]]), torch.zeros(1, 3))
    denoise = builder.with_conditioning(builder.guided(CONDITION, None, given, AV(1.0, 1.0)), given, noises)
    t = AV(torch.full((1,), 0.7), torch.full((1,), 0.7))
    found = denoise(AV(torch.full((1, 2), 9.0), torch.zeros(1, 3)), t, None)
    told, x = network.calls[0]
    assert told == 1 + 10 * 0.5
    torch.testing.assert_close(x.video, add_noise(SCHEDULE.video, given.video, noises.video, t.video))
    assert torch.equal(found.video, given.video)
