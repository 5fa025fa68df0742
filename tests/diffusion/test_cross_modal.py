"""One network for three distributions: who is shown what, how often, and what is scored."""

import pytest
import torch
from gaussian import Answer, condition
from torch import nn

from sonovid.av import AV, Task
from sonovid.diffusion.cross_modal import CrossModal
from sonovid.diffusion.objective import Uniform, total
from sonovid.diffusion.schedule import Tabulated

TABLE = Tabulated("scaled_linear", 0.00085, 0.012)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(b):
    return AV(torch.randn(b, 2, 1, 2, 2), torch.randn(b, 4, 5, 1))


class Watched(nn.Module):
    """A network that remembers what it was shown, and predicts a multiple of it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, x, t, condition, previous=None, *, given, dropped):
        self.seen.append((x, t, condition, given, dropped))
        return Answer(x.map(lambda xi: self.scale * xi))


def objective(**options):
    law = Uniform(1000)
    return CrossModal(**{"schedule": AV(TABLE, TABLE), "predict": "eps", "law": AV(law, law), **options})


def test_a_given_stream_is_noised_along_and_its_clean_latents_stand_beside():
    network, x0 = Watched(), latents(4000)
    regress = objective()
    drawn = regress.draw(x0, generator())
    scored = regress.at(drawn, network, x0, condition(4000))
    ((x, t, told, given, dropped),) = network.seen
    assert torch.equal(t.video, t.audio)
    assert (t.video > 0).all()
    alpha, sigma = TABLE.coefficients(t.video)
    for name, xi, clean, beside, generated, eps in zip(AV._fields, x, x0, given, told.generated, drawn.eps, strict=True):
        a, s = (c.reshape(-1, *[1] * (clean.ndim - 1)) for c in (alpha, sigma))
        torch.testing.assert_close(xi, (a * clean + s * eps).to(xi.dtype))
        assert torch.equal(beside[~generated], clean[~generated])
        assert (beside[generated] == 0).all()
        assert float((~generated).float().mean()) == pytest.approx(0.05, abs=0.015)
        torch.testing.assert_close(scored.losses[name], (0.5 * xi - eps).square().flatten(1).mean(1))
    assert (told.generated.video | told.generated.audio).all()
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_every_pair_of_context_and_modality_is_trained():
    drawn = objective().draw(latents(4000), generator())
    for given in (~drawn.generated.video, ~drawn.generated.audio):
        for dropped in (drawn.without_text, ~drawn.without_text):
            assert (given & dropped).any()


def test_a_stream_without_elements_is_not_scored_and_harms_no_gradient():
    network, x0 = Watched(), AV(torch.randn(6, 2, 1, 2, 2), torch.zeros(6, 4, 0, 1))
    scored = objective(tasks={Task.JOINT: 1})(network, {"x0": x0, "condition": condition(6)}, generator())
    assert scored.losses["audio"].isnan().all()
    total(scored).backward()
    assert network.scale.grad.isfinite()
    assert network.scale.grad != 0


def test_pairs_and_shuffled_pairs_are_compared():
    x0 = latents(6)
    found = objective().paired_and_shuffled(Watched(), {"x0": x0, "condition": condition(6)}, generator())
    torch.testing.assert_close(found.true.losses["video"], found.shuffled.losses["video"])


def test_what_it_does_not_know_is_refused():
    for wrong in ({"self_conditioning": 0.5}, {"snr_gamma": 5.0}, {"bound": 1.0}, {"times": "independent"}):
        with pytest.raises(ValueError, match="CrossModal"):
            objective(**wrong)
