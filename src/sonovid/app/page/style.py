"""The style of the page: system fonts, light and dark mode, narrow screens."""

from typing import Any

FONTS = ("Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("Cascadia Mono", "Menlo", "DejaVu Sans Mono", "monospace")
HEAD = '<link rel="icon" href="data:,"><meta name="color-scheme" content="light dark">'
CSS = """
.gradio-container{max-width:72rem!important;margin:0 auto!important}
.sv-title{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;margin:.25rem 0 0}
.sv-title h1{font-size:1.5rem;margin:0}
.sv-title p{margin:0;color:var(--body-text-color-subdued)}
.sv-clips{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr));gap:1rem}
.sv-clips figure{margin:0;min-width:0}
.sv-clips video,.sv-clips audio{width:100%;border-radius:var(--radius-lg)}
.sv-clips video{max-height:24rem;background:#000}
.sv-clips video.sv-small{image-rendering:pixelated}
.sv-clips figcaption{font-weight:600;margin:.25rem 0}
.sv-preview{width:100%;height:auto;margin-top:.75rem;border-radius:var(--radius-lg)}
.sv-facts{color:var(--body-text-color-subdued);margin:.5rem 0;overflow-wrap:anywhere}
.sv-links{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0}
.sv-links a{padding:.4rem .8rem;border:1px solid var(--border-color-primary);border-radius:var(--radius-lg);
  background:var(--button-secondary-background-fill);color:var(--button-secondary-text-color);text-decoration:none}
.sv-links a:focus-visible{outline:2px solid var(--color-accent);outline-offset:2px}
.sv-progress progress{width:100%;height:.75rem}
.sv-progress progress[value]{appearance:none;border:0;border-radius:.4rem;overflow:hidden;background:var(--border-color-primary)}
.sv-progress progress[value]::-webkit-progress-bar{background:var(--border-color-primary)}
.sv-progress progress[value]::-webkit-progress-value{background:#0d9488}
.sv-progress progress[value]::-moz-progress-bar{background:#0d9488}
.sv-progress img{width:100%;height:auto;border-radius:var(--radius-lg);margin-top:.5rem;image-rendering:pixelated}
.sv-error{border:1px solid #c0392b;border-left-width:6px;border-radius:var(--radius-lg);padding:.6rem .8rem;margin:0;
  overflow-wrap:anywhere}
.sv-empty{color:var(--body-text-color-subdued);border:1px dashed var(--border-color-primary);border-radius:var(--radius-lg);
  padding:2rem 1rem;text-align:center;margin:0}
.sv-wide{overflow-x:auto}
.sv-wide table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
.sv-wide th,.sv-wide td{padding:.2em .7em;text-align:right;border-bottom:1px solid var(--border-color-primary);white-space:nowrap}
.sv-wide th:first-child,.sv-wide td:first-child{text-align:left}
.sv-notes{color:var(--body-text-color-subdued);font-size:.9em}
"""


def theme() -> Any:
    """Gradio's default theme without fonts from other hosts."""
    import gradio

    # Gradio's grey for secondary text has too little contrast.
    colors = {"body_text_color_subdued": "*neutral_600", "body_text_color_subdued_dark": "*neutral_300"}
    colors |= {"block_info_text_color": "*neutral_600", "block_info_text_color_dark": "*neutral_300"}
    return gradio.themes.Default(primary_hue="teal", font=FONTS, font_mono=MONO).set(**colors)
