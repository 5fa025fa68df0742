"""The page put together from its tabs."""

import gradio as gr

from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.page import show, table
from sonovid.app.page.examples import Examples
from sonovid.app.page.generate import GenerateTab, Generating
from sonovid.app.page.score import Measuring, ScoreTab


def build(jobs: Jobs, models: Models, examples: Examples) -> gr.Blocks:
    """The page.

    Raises:
        ValueError: the table that is to be shown cannot be read.
    """
    figures = table.html(jobs.settings.table)
    # Files that browsers uploaded are looked through every five minutes and removed after an hour.
    with gr.Blocks(title="Sonovid", analytics_enabled=False, delete_cache=(300, 3600)) as blocks:
        gr.HTML(show.title("a video and its sound, generated together"))
        with gr.Tabs():
            with gr.Tab("Generate"):
                tab = GenerateTab(Generating(jobs, models, examples))
            with gr.Tab("Measure"):
                ScoreTab(Measuring(jobs))
            with gr.Tab("Results"):
                gr.HTML(figures, elem_id="figures")
        blocks.load(**tab.on_load)
    blocks.queue(api_open=False)
    return blocks
