"""Blind rating studies: an offline web page for the raters, and the statistical report of their answers.

questions  the questionnaires of CMMD and MM-LDM
study      clips of several systems -> a blinded, shuffled study: a folder for the raters and a secret key
page       the study as one web page (page.html), with its clips beside it or embedded
answers    the raters' files -> ratings by system; invalid answers are rejected
analysis   ratings -> mean opinion scores with intervals over raters, and pairwise tests
tables     the report as terminal text, Markdown, JSON and HTML, with box plots
"""
