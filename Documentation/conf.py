# SPDX-License-Identifier: GPL-2.0
# What sphinx-build needs to know, and no more.

project = "altmmu"
html_theme = "alabaster"
# Code is quoted as it is.
highlight_language = "none"
smartquotes = False
html_copy_source = False
