"""How well a served model segments a labelled data set, measured through the server.

`layouts` finds the pictures of a data set and their labels, `label_coding` says which class a
label value is, `run` sends the pictures and counts, `journal` lets an interrupted run go on,
`figures` and `bootstrap` make figures of the counts, and the `report_*` files write them down.
"""
