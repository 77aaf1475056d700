"""What was made from what: records, action keys, and the questions that they answer.

A *record* is an immutable account (of an action's result, of a run); an *action key* says where a result
is filed; *lineage* is the graph that the records make together. Nothing here runs a stage.
"""
