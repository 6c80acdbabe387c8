"""The cache inside a program, without a server: the same decisions as the gateway's.

transport.py   an HTTP transport for the official clients; caching.py what it decides
langchain.py   LangChain's cache
"""
