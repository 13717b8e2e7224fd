"""Findings as one page to mail: a file that loads nothing from anywhere, and runs nothing but its copy buttons.

`page` puts it together; `findings`, `tree`, `bars` and `parts` make HTML of what `figures` and the checks give. Every
text from outside goes through `parts.safe`; what may run or colour is named by its hash in the page's own policy.
"""
