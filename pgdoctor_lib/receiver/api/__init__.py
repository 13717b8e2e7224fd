"""The readable interface: what the store keeps, as JSON.

`operations` is the one table: addresses, parameters with their bounds, answers. Routes are made from it, `openapi`
writes the document from it. `parameters` reads what an address gives, `question` is a request that was understood,
`answers` makes JSON of the store's dataclasses, `schemas` says what that looks like. Nothing here knows a server.
"""
