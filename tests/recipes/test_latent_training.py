"""What trainings on latents share."""

import torch

from sonovid.recipes import latent_training


def test_captions_are_embedded_once_and_alike():
    embedded = []

    def encoder(prompts):
        embedded.extend(prompts)
        k = max(len(prompt.split()) for prompt in prompts)
        text = torch.zeros(len(prompts), k, 8)
        mask = torch.zeros(len(prompts), k, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            text[i, : len(prompt.split())] = float(len(prompt))
            mask[i, : len(prompt.split())] = True
        return text, mask

    captions = latent_training.Captions(encoder, ["a b", "c", "a b", "d e f"])
    seen = len(embedded)
    text, mask, pooled = captions(["d e f", "c"])
    assert pooled is None
    assert len(embedded) == seen
    assert text.shape == (2, 3, 8)
    assert mask.sum(1).tolist() == [3, 1]
    assert text[1, 0, 0] == 1.0
