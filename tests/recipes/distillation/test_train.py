"""The conditions of a teacher. tests/recipes/test_fine_tuning_of_systems.py distils every system."""

import torch

from sonovid.codecs.text import HashedText
from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.recipes.distillation.train import _null_condition


def test_the_null_condition_is_the_negative_prompt_where_there_is_a_prompt():
    encoder = HashedText(8, 4)
    text, mask = encoder(["a stick hits a drum", "a ball"])
    condition = Condition(text, mask, AV(None, None)).without_text(torch.tensor([False, True]))
    negative = Condition(*encoder(["noise"]), AV(None, None))
    null = _null_condition(condition, negative)
    assert torch.equal(null.text, negative.text.expand(2, -1, -1))
    assert torch.equal(null.text_mask[0], negative.text_mask[0])
    assert not null.text_mask[1].any()
    assert not _null_condition(condition, None).text_mask.any()
