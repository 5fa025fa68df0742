"""The web page on Gradio: tabs for generation, evaluation and saved results."""
