"""Two served models on the same pictures, without labels: where their masks differ.

`run.py` asks both and counts; `verdict.py` holds the counts against a bound; `report.py` and
`report_html.py` write what was found.
"""
