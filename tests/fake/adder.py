#!/usr/bin/env python3
"""usage: adder.py serve PORT | adder.py ask URL      Model Context Protocol by the public Python SDK, over streamable HTTP

serve: a tool that adds two numbers. ask: lists the tools, calls it, prints what came."""
import asyncio
import sys


def serve(port):
    try:
        from mcp.server.fastmcp import FastMCP
        server = FastMCP("adder", host="127.0.0.1", port=port)
    except ImportError:
        from mcp.server import MCPServer
        server = MCPServer("adder")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    import uvicorn
    # Host names other than localhost are refused unless told: here they are a node's
    try:
        from mcp.server.transport_security import TransportSecuritySettings
        open_to_all = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        try:
            app = server.streamable_http_app(transport_security=open_to_all)
        except TypeError:
            server.settings.transport_security = open_to_all
            app = server.streamable_http_app()
    except ImportError:
        app = server.streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


async def ask(url):
    try:
        from mcp import Client
        async with Client(url) as session:
            await told(session)
    except ImportError:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client
        async with streamablehttp_client(url) as (reader, writer, _):
            async with ClientSession(reader, writer) as session:
                await session.initialize()
                await told(session)


async def told(session):
    tools = await session.list_tools()
    result = await session.call_tool("add", {"a": 19, "b": 23})
    print(",".join(t.name for t in tools.tools), result.content[0].text)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    asyncio.run(ask(sys.argv[2]))
