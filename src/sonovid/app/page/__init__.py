"""The page: generate, measure, and results, on Gradio."""
