"""Results for people: in the terminal, as Markdown, as one page."""
