"""Runs as one self-contained HTML page: `report.html` in every run folder, and `lorafit report` for several.

A page is made of what lies in the run folders and of nothing else. It holds its own styles, drawings and script, asks
for no other file, and stays readable without the script. Needs no torch.
"""
