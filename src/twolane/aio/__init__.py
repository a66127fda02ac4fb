"""Both lanes for asyncio: the calls of one event loop, awaited, and one thread beside it that makes them."""
