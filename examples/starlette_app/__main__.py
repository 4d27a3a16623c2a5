"""Run the app: ``python -m examples.starlette_app`` in the root folder of the project."""

from .app import main

main()
