"""The command line: one file per verb; `verbs.py` lists them."""
