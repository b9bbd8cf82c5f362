"""The HTML of a template as a browser reads it, with template tags between its pieces.

`sources` cuts a template into text and tags, `tokens` reads text as HTML and can be interrupted by
a tag, `reading` follows a document through its branches and loops, `instrument` changes what was
found, `destinations` says where an attribute leads, and `plain_text` makes a text of a document.
Imports the room `connectors.templates.language`.
"""
