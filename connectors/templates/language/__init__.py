"""The text of templates: the part of Jinja that is let through (`dialect`), how deep its
tags nest, the placeholders of other systems, and the filters that write values.

Imports nothing of the other rooms of templates, which all build on it.
"""
