"""The world by country, drawn on the server."""
