"""Former names of modules and attributes."""

import importlib.util
import subprocess
import sys

import pytest

from sonovid.core import renamed


@pytest.mark.parametrize("old", sorted(renamed.MODULES))
def test_former_names_map_to_existing_modules(old):
    assert importlib.util.find_spec(renamed.current(f"sonovid.{old}")) is not None


def test_unchanged_names_are_returned_unchanged():
    for name in ("sonovid.media", "sonovid.codecs.video", "sonovid.models.uniform.transformer", "diffusers.models", "sonovid"):
        assert renamed.current(name) == name


def test_a_module_below_a_renamed_package_moves_with_it():
    assert renamed.current("sonovid.denoisers.mmldm.transformer") == "sonovid.models.mmldm.transformer"
    assert renamed.current("sonovid.denoisers.svg.joint") == "sonovid.models.svg.model"


def test_a_former_import_gives_the_same_class_and_a_warning():
    # A process of its own: which modules are loaded already must not matter.
    code = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    from sonovid.denoisers.uniform import UniForm\n"
        "    from sonovid.codecs.apart import Apart\n"
        "    import sonovid.pipeline\n"
        "from sonovid.models.uniform import transformer\n"
        "assert transformer.UniForm is UniForm\n"
        "said = [str(w.message) for w in seen if w.category is DeprecationWarning and 'sonovid' in str(w.message)]\n"
        "assert any('sonovid.models.uniform.transformer' in line for line in said), said\n"
        "assert sonovid.pipeline.SoundingVideoPipeline is sonovid.SoundingVideoPipeline\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_module_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sonovid.denoisers.nothing")
