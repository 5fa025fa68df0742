"""Builds the page from its tabs."""

import gradio as gr

from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.page import rendering, results
from sonovid.app.page.examples import Examples
from sonovid.app.page.generate import GenerateActions, GenerateTab
from sonovid.app.page.measure import MeasureActions, MeasureTab


def build(jobs: Jobs, models: Models, examples: Examples) -> gr.Blocks:
    """The page.

    Raises:
        ValueError: the results that are to be shown cannot be read.
    """
    figures = results.render_results(jobs.settings.table)
    # Uploaded files are checked every five minutes and removed after an hour.
    with gr.Blocks(title="Sonovid", analytics_enabled=False, delete_cache=(300, 3600)) as blocks:
        gr.HTML(rendering.page_header("joint generation of video and sound"))
        with gr.Tabs():
            with gr.Tab("Generate"):
                tab = GenerateTab(GenerateActions(jobs, models, examples))
            with gr.Tab("Measure"):
                MeasureTab(MeasureActions(jobs))
            with gr.Tab("Results"):
                gr.HTML(figures, elem_id="figures")
        blocks.load(**tab.on_load)
    blocks.queue(api_open=False)
    return blocks
