"""Everything that other teams send and receive: the bodies of REST and of commands, lifecycle
events, and the rules that need no database.

Each schema has one definition here; the OpenAPI and AsyncAPI documents are made of it. The room is
pure, and imports only the files of `streams`.
"""
