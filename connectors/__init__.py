"""With whom: NATS, directories, rendering, providers, the simulator, and the engines of one
machine.
"""
