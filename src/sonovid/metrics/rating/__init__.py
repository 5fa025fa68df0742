"""What people think of clips: a blinded study, drawn and written as one page without a network, and the report of its answers.

questions  what is asked, as CMMD and MM-LDM ask it
study      clips of several systems -> a blinded, shuffled study: a folder for the raters and a key that they do not get
page       the study as one web page (page.html), its clips beside it or inside it
answers    the raters' files -> ratings by system, with everything foreign refused
analysis   ratings -> mean opinion scores with intervals over raters, and pairwise tests
tables     the same as terminal text, Markdown, JSON and HTML, with box plots
"""
