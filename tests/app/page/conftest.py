"""Jobs with a worker, as the page uses them."""

import pytest

pytest.importorskip("gradio", reason="pip install 'sonovid[app]'")


@pytest.fixture
def working(settings):
    """Jobs and models with a worker, without a server."""
    from sonovid.app.jobs import Jobs
    from sonovid.app.models import Models
    from sonovid.app.worker import Workers

    models, jobs = Models(settings.models, settings.devices), Jobs(settings)
    workers = Workers(jobs, models)
    workers.start()
    yield jobs, models
    workers.stop()
    jobs.close()
