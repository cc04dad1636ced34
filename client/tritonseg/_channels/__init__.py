"""The way to a server, and who makes the steps of a call: threads or asyncio."""
