"""Serve a WSGI app with eventlet: ``python eventlet_server.py MODULE:NAME PORT``."""

import eventlet

eventlet.monkey_patch()

import importlib  # noqa: E402
import sys  # noqa: E402

from eventlet import wsgi  # noqa: E402

module, _, name = sys.argv[1].partition(":")
wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[2]))), getattr(importlib.import_module(module), name))
