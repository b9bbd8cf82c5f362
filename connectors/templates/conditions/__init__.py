"""Conditions of a template: `expressions` rewrites them before the engine compiles them, so that a
missing value is false; `comparisons` is what the rewritten ones call. Imports the room
`connectors.templates.language`.
"""
